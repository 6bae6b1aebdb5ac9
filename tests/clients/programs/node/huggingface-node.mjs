// @huggingface/inference, the JavaScript client of Hugging Face.
import { InferenceClient } from '@huggingface/inference'
import { serve } from './serve.mjs'

// The status is in the response, not in the error.
const withStatus = (error) => Promise.reject(Object.assign(error, { statusCode: error.httpResponse?.status }))

serve(async ({ url, key, action, file, prompt, ...parameters }) => {
  const client = new InferenceClient(key).endpoint(`${url}/hf/${action === 'image' ? 'image' : 'text'}-to-image`)
  const inputs = action === 'image' ? new Blob([Buffer.from(file, 'base64')]) : prompt
  const blob =
    action === 'image'
      ? await client.imageToImage({ inputs, parameters: { prompt, ...parameters } }).catch(withStatus)
      : await client.textToImage({ inputs, parameters }).catch(withStatus)
  return { images: [Buffer.from(await blob.arrayBuffer()).toString('base64')], type: blob.type }
})
