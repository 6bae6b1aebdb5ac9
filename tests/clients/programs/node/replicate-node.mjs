// The JavaScript client of Replicate.
import Replicate from 'replicate'
import { serve } from './serve.mjs'

serve(async ({ url, key, action, model, input, file }) => {
  const client = new Replicate({ auth: key, baseUrl: `${url}/v1` })
  if (file) input.image = Buffer.from(file, 'base64')
  if (action === 'cancel') {
    const { id } = await client.predictions.create({ model, input })
    return { status: (await client.predictions.cancel(id)).status }
  }
  const logs = []
  const output = await client.run(model, { input }, (prediction) => logs.push(prediction.logs))
  const files = await Promise.all(output.map(async (item) => Buffer.from(await (await item.blob()).arrayBuffer())))
  return { images: files.map((item) => item.toString('base64')), logs }
})
