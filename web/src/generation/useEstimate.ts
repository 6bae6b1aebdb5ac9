import { computed, type Ref } from 'vue'
import type { Model, Parameters } from '@/api/types'
import type { HistoryImage } from '@/history/imageStore'
import type { ImageSize } from '@/images/canvas'
import { resultSize, type Settings, type Start } from '@/request/draft'
import { hiresSize, type Hires } from '@/request/hires'

/** Earlier jobs that count. */
const SAMPLES = 8

/** The seconds that the model is likely to generate, from earlier jobs in this browser; null without any. */
export function useEstimate(
  model: Ref<Model | null>,
  settings: Ref<Settings | null>,
  images: Ref<HistoryImage[]>,
  start: () => Start | null,
) {
  return computed(() => {
    if (!model.value || !settings.value) return null
    const { id, upscales } = model.value
    const rates = images.value
      .filter((image) => image.model === id && image.generation)
      .slice(0, SAMPLES)
      .map(
        ({ parameters, generation }) =>
          (generation?.seconds ?? 0) / (work(parameters, upscales) * (generation?.images ?? 1)),
      )
      .sort((a, b) => a - b)
    const rate = rates[Math.floor(rates.length / 2)]
    if (rate === undefined) return null
    const { strength, ...parameters } = settings.value
    const cost = work(
      { ...parameters, ...resultSize(parameters, start()), ...(start() && !start()?.sources && { strength }) },
      upscales,
    )
    return rate * cost * settings.value.num_images_per_prompt
  })
}

/** The cost of an image. A model that upscales generates always at the same size. */
function work(
  parameters: Pick<Parameters, 'width' | 'height' | 'num_inference_steps' | 'strength'> & { hires?: Hires | null },
  upscales: boolean,
): number {
  const { num_inference_steps, strength = 1, hires } = parameters
  const pixels = ({ width, height }: ImageSize) => (upscales ? 1 : width * height)
  const second = hires ? hires.steps * hires.strength * pixels(hiresSize(parameters)) : 0
  return num_inference_steps * strength * pixels(parameters) + second
}
