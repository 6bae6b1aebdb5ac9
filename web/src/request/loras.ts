import type { ChosenLora, Model } from '@/api/types'

/** Return the chosen LoRAs that the model has, no more than a request may have. */
export function availableLoras(chosen: ChosenLora[], { loras, bounds }: Model): ChosenLora[] {
  return chosen.filter(({ id }) => loras.some((lora) => lora.id === id)).slice(0, bounds.loras.maximum)
}

/** Return the model with the defaults of a request with these LoRAs; the first that sets a value counts. */
export function withLoras(model: Model, chosen: ChosenLora[]): Model {
  const defaults = { ...model.defaults }
  for (const { id } of [...chosen].reverse()) {
    const lora = model.loras.find((candidate) => candidate.id === id)
    defaults.scheduler = lora?.scheduler ?? defaults.scheduler
    defaults.num_inference_steps = lora?.num_inference_steps ?? defaults.num_inference_steps
    defaults.guidance_scale = lora?.guidance_scale ?? defaults.guidance_scale
  }
  return { ...model, defaults }
}

/** Return the LoRAs that a job's record or an exported file describes; an empty list for anything else. */
export function toLoras(value: unknown): ChosenLora[] {
  return Array.isArray(value) ? value.flatMap(toLora) : []
}

function toLora(value: unknown): ChosenLora[] {
  const { id, scale }: Partial<Record<string, unknown>> = Object.fromEntries(Object.entries(value ?? {}))
  return typeof id === 'string' && typeof scale === 'number' && Number.isFinite(scale) ? [{ id, scale }] : []
}
