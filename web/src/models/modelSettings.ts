import type { Model } from '@/api/types'
import { changedSettings, emptyDraft, type Draft } from '@/request/draft'

/** What the user sets for a model. Prompt, seed, number of images, file format and images are the same for all. */
export type ModelSettings = Pick<
  Draft,
  | 'width'
  | 'height'
  | 'num_inference_steps'
  | 'guidance_scale'
  | 'scheduler'
  | 'strength'
  | 'loras'
  | 'control'
  | 'clip_skip'
  | 'hires'
>

/** Fields of the settings that stay when the model changes. */
const SHARED = ['seed', 'negative_prompt', 'output_format']

export function modelSettings(draft: Draft): ModelSettings {
  const { width, height, num_inference_steps, guidance_scale, scheduler, strength, loras, control, clip_skip, hires } =
    draft
  return { width, height, num_inference_steps, guidance_scale, scheduler, strength, loras, control, clip_skip, hires }
}

/** Return the settings for a model that the user had set there before, or its defaults and a size that both have. */
export function settingsFor(model: Model, kept: ModelSettings | undefined, { width, height }: Draft): ModelSettings {
  if (kept) return kept
  const isShared = model.sizes.some((size) => size.width === width && size.height === height)
  return { ...modelSettings(emptyDraft()), ...(isShared && { width, height }) }
}

/** Return the names of the user's settings of a model that the next one does not have. */
export function ownSettings(draft: Draft, model: Model, next: Model): string[] {
  const shared = SHARED.filter((name) => name !== 'negative_prompt' || next.takes_negative_prompt)
  const names = changedSettings(draft, model).filter((name) => !shared.includes(name))
  return [...names, ...(['loras', 'control'] as const).filter((name) => draft[name].length)]
}
