// The JavaScript client of OpenAI.
import OpenAI, { toFile } from 'openai'
import { serve } from './serve.mjs'

await serve(async ({ url, key, action, files, ...fields }) => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
  if (action === 'models') {
    const models = []
    for await (const model of client.models.list()) models.push(model.id)
    return { models, model: (await client.models.retrieve(fields.model)).id }
  }
  if (action === 'stream') {
    const images = []
    const partial = []
    for await (const event of await client.images.generate({ ...fields, stream: true })) {
      if (event.type === 'image_generation.partial_image') partial.push([event.partial_image_index, event.b64_json])
      if (event.type === 'image_generation.completed') images.push(event.b64_json)
    }
    return { images, partial }
  }
  const image = files && (await toFile(Buffer.from(files[0], 'base64'), 'start.png'))
  const response = await (image ? client.images.edit({ image, ...fields }) : client.images.generate(fields))
  return { images: response.data.map((item) => item.b64_json) }
})
