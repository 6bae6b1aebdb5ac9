// The requests of LibreChat's OpenAI Image Tools (api/app/clients/tools/structured/OpenAIImageTools.js, v0.8.2), by the
// packages that it sends them with. LibreChat itself is no package.
import axios from 'axios'
import FormData from 'form-data'
import OpenAI from 'openai'
import { serve } from './serve.mjs'

await serve(async ({ action, prompt, files, settings }) => {
  const { IMAGE_GEN_OAI_BASEURL: baseURL, IMAGE_GEN_OAI_API_KEY: apiKey, IMAGE_GEN_OAI_MODEL: model } = settings
  if (action === 'generate') {
    const fields = { model, prompt, n: 1, background: 'auto', output_format: 'png', quality: 'auto', size: 'auto' }
    const response = await new OpenAI({ baseURL, apiKey }).images.generate(fields)
    return { images: [response.data[0].b64_json] }
  }
  const form = new FormData()
  for (const [name, value] of Object.entries({ model, prompt, quality: 'auto', size: 'auto' })) form.append(name, value)
  for (const file of files) {
    form.append('image[]', Buffer.from(file, 'base64'), { filename: 'image.png', contentType: 'image/png' })
  }
  const headers = { ...form.getHeaders(), Authorization: `Bearer ${apiKey}` }
  const response = await axios.post('/images/edits', form, { headers, baseURL })
  return { images: [response.data.data[0].b64_json] }
})
