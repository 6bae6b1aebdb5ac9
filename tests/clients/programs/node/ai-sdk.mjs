// The AI SDK with its provider for OpenAI.
import { generateImage } from 'ai'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { serve } from './serve.mjs'

await serve(async ({ url, key, prompt, size, n, seed, files }) => {
  const options = { name: 'easel', baseURL: `${url}/v1`, apiKey: key }
  const provider = seed === undefined ? createOpenAI(options) : createOpenAICompatible(options)
  const images = files?.map((text) => Buffer.from(text, 'base64'))
  const result = await generateImage({
    model: provider.imageModel('emoji'),
    prompt: images ? { text: prompt, images } : prompt,
    size,
    n,
    ...(seed === undefined ? {} : { providerOptions: { easel: { seed } } }),
  })
  return { images: result.images.map((image) => image.base64) }
})
