import type { Model } from './types'

const NONE = { minimum: 0, maximum: 0 }

/** What it means that an API leaves a field out, because it is older than the page: it does not have the feature, or always has it. */
const ABSENT = {
  licence_url: '',
  features: [],
  content: [],
  upscales: false,
  suggestions: [],
  subjects: [],
  subjects_in: {},
  prompt_tokens: null,
  presets: [],
  loras: [],
  controls: [],
  control_without: [],
  embeddings: [],
  edits: 0,
  takes_negative_prompt: true,
  takes_guidance_scale: true,
} satisfies Partial<Model>

const ABSENT_BOUNDS = {
  scheduler_steps: {},
  mask_blur: NONE,
  outpaint: NONE,
  loras: NONE,
  lora_scale: NONE,
  lora_cost_percent: 0,
  controls: NONE,
  control_scale: NONE,
  control_cost_percent: 0,
  clip_skip: null,
  prompt_weight: NONE,
  hires_scale: NONE,
  edit_pixels: 0,
} satisfies Partial<Model['bounds']>

const ABSENT_DEFAULTS = {
  prompt_syntax: 'plain',
  hires: { scale: 1, strength: 1 },
} satisfies Partial<Model['defaults']>

type Older<Whole, Absent> = Omit<Whole, keyof Absent> & Partial<Whole>

/** A model as an API returns it that may be older than the page. */
export type SentModel = Older<Omit<Model, 'bounds' | 'defaults'>, typeof ABSENT> & {
  bounds: Older<Model['bounds'], typeof ABSENT_BOUNDS>
  defaults: Older<Model['defaults'], typeof ABSENT_DEFAULTS>
}

/** Return the model with every field that the page reads. */
export function readModel(sent: SentModel): Model {
  return {
    ...ABSENT,
    ...sent,
    bounds: { ...ABSENT_BOUNDS, ...sent.bounds },
    defaults: { ...ABSENT_DEFAULTS, ...sent.defaults },
  }
}
