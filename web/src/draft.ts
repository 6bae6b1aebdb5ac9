import { failure, type Failure } from './api/failure'
import type { Feature, GenerationRequest, Model, Parameters } from './api/types'

/** What the person has set. null: whatever the model takes by default. */
export interface Draft {
  prompt: string
  negative_prompt: string
  width: number | null
  height: number | null
  num_images_per_prompt: number
  num_inference_steps: number | null
  guidance_scale: number | null
  scheduler: string | null
  output_format: string | null
  strength: number | null
  seed: number | null
  seedLocked: boolean
}

/** The draft with the model's defaults filled in. */
export type Settings = Omit<Parameters, 'seed' | 'strength' | 'embed_parameters'> & { num_images_per_prompt: number; strength: number }

export const MOST_PICTURES = 4

export function emptyDraft(): Draft {
  return {
    prompt: '',
    negative_prompt: '',
    width: null,
    height: null,
    num_images_per_prompt: 1,
    num_inference_steps: null,
    guidance_scale: null,
    scheduler: null,
    output_format: null,
    strength: null,
    seed: null,
    seedLocked: false,
  }
}

export function hasFeature(model: Model | null, feature: Feature): boolean {
  return model?.features.includes(feature) ?? false
}

/** What will be asked for: a setting that this model does not take gives way to its default. */
export function settle(draft: Draft, { defaults, bounds, schedulers, formats }: Model): Settings {
  const within = (value: number | null, { minimum, maximum }: { minimum: number; maximum: number }, other: number) =>
    value !== null && value >= minimum && value <= maximum ? value : other
  const oneOf = (value: string | null, allowed: string[], other: string) =>
    value !== null && allowed.includes(value) ? value : other
  return {
    prompt: draft.prompt,
    negative_prompt: draft.negative_prompt,
    width: within(draft.width, bounds.width, defaults.width),
    height: within(draft.height, bounds.height, defaults.height),
    num_images_per_prompt: within(draft.num_images_per_prompt, bounds.images, defaults.num_images_per_prompt),
    num_inference_steps: within(draft.num_inference_steps, bounds.num_inference_steps, defaults.num_inference_steps),
    guidance_scale: within(draft.guidance_scale, bounds.guidance_scale, defaults.guidance_scale),
    scheduler: oneOf(draft.scheduler, schedulers, defaults.scheduler),
    output_format: oneOf(draft.output_format, formats, defaults.output_format),
    strength: within(draft.strength, bounds.strength, defaults.strength),
  }
}

/** Pixel-steps, as the API counts them: from a picture on, only `strength` of the steps are run. */
export function cost({ width, height, num_inference_steps, num_images_per_prompt, strength }: Settings, starts: boolean): number {
  const steps = starts ? Math.max(1, Math.floor(num_inference_steps * strength + 0.5)) : num_inference_steps
  return width * height * steps * num_images_per_prompt
}

/** What the API would refuse, said before it is asked. */
export function check(settings: Settings, { bounds }: Model, starts: boolean): Failure | null {
  const characters = [...settings.prompt].length
  if (!settings.prompt.trim()) return failure('request', 'empty_prompt', 'prompt')
  if (characters > bounds.prompt_chars.maximum) return failure('request', 'long_prompt', 'prompt')
  if (settings.width % bounds.side_multiple) return failure('request', 'off_grid', 'width')
  if (settings.height % bounds.side_multiple) return failure('request', 'off_grid', 'height')
  return cost(settings, starts) > bounds.budget ? failure('request', 'job_too_large') : null
}

export function toRequest(draft: Draft, model: Model, startPicture: string | null): GenerationRequest {
  const { strength, ...settings } = settle(draft, model)
  const request = {
    ...settings,
    ...(draft.seedLocked && draft.seed !== null && { seed: draft.seed }),
    ...(startPicture !== null && { init_image: startPicture, strength }),
    ...(hasFeature(model, 'embed_parameters') && { embed_parameters: true }),
  }
  return request as GenerationRequest
}

/** Takes parameters over, all but the count; the seed is locked. Gives the names of those that this model refuses. */
export function takeOver(draft: Draft, told: Partial<Parameters>, model: Model | null): string[] {
  const { seed, embed_parameters, ...rest } = told
  Object.assign(draft, { negative_prompt: '', ...rest })
  if (seed !== undefined) Object.assign(draft, { seed, seedLocked: true })
  if (!model) return []
  const settled: Partial<Record<string, unknown>> = settle(draft, model)
  return Object.entries(rest)
    .filter(([name, value]) => name in settled && settled[name] !== value)
    .map(([name]) => name)
}
