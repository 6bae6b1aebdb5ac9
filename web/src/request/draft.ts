import { failure, type Failure } from '@/api/failure'
import type { ChosenControl, ChosenLora, Feature, GenerationRequest, Model, Parameters, Preset } from '@/api/types'
import type { ImageSize } from '@/images/canvas'
import { acceptsControls, isWithoutControl, usableControls } from '@/control/controls'
import { editSize } from '@/edits/editSize'
import { hasMargins, type Edit, type Margins } from '@/inpaint/edit'
import type { EncodedStart } from '@/inpaint/encodeStart'
import { hiresSize, isHires, lastSteps, type Hires, type HiresDraft } from './hires'
import { availableLoras, withLoras } from './loras'

/** What the user has set. Null means the model's default. */
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
  loras: ChosenLora[]
  control: ChosenControl[]
  /** Read the weights of words in the prompt. */
  weighted: boolean
  clip_skip: number | null
  /** Null: no second pass. */
  hires: HiresDraft | null
  /** Return images that the safety checker flags. Null: their job fails. */
  content: 'flag' | null
}

/** The draft with the model's defaults filled in. */
export type Settings = Omit<
  Parameters,
  | 'seed'
  | 'strength'
  | 'embed_parameters'
  | 'mask_mode'
  | 'mask_blur'
  | 'outpaint'
  | 'loras'
  | 'images'
  | 'clip_skip'
  | 'hires'
  | 'content'
  | 'control'
> & {
  num_images_per_prompt: number
  strength: number
  loras: ChosenLora[]
  control: ChosenControl[]
  /** Null: as the model was trained. */
  clip_skip: number | null
  /** Null: one pass. */
  hires: Hires | null
}

/** What an image is generated from beside the prompt: an init image and which part of it changes, or images to look at. */
export interface Start {
  /** Null: all of it changes. */
  edit: Edit | null
  /** Sizes of the images to look at. With them there is no init image. */
  sources?: ImageSize[]
}

export const MAX_IMAGES = 4
/** The API's default strength where only a part is generated. */
const PART_STRENGTH = 1
/** A longer prompt of a file is not loaded, for the page would become slow. */
const MAX_LOADED_CHARS = 100_000

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
    loras: [],
    control: [],
    weighted: false,
    clip_skip: null,
    hires: null,
    content: null,
  }
}

export function hasFeature(model: Model | null, feature: Feature): boolean {
  return model?.features.includes(feature) ?? false
}

interface Range {
  minimum: number
  maximum: number
}

const NOTHING: Range = { minimum: Infinity, maximum: -Infinity }

/** Return the range of inference steps, which depends on the scheduler. */
export function stepRange({ bounds }: Model, scheduler: string): Range {
  return bounds.scheduler_steps[scheduler] ?? bounds.num_inference_steps
}

/** Fill in the model's defaults, also for values that this model does not accept. */
export function resolveSettings(draft: Draft, model: Model, start: Start | null = null): Settings {
  const loras = availableLoras(draft.loras, model)
  const { defaults, bounds, schedulers, formats } = withLoras(model, loras)
  const within = (value: number | null, { minimum, maximum }: Range, fallback: number) =>
    value !== null && value >= minimum && value <= maximum ? value : fallback
  const choice = (value: string | null, allowed: string[], fallback: string) =>
    value !== null && allowed.includes(value) ? value : fallback
  const scheduler = choice(draft.scheduler, schedulers, defaults.scheduler)
  const steps = stepRange(model, scheduler)
  const defaultSteps = Math.max(steps.minimum, Math.min(steps.maximum, defaults.num_inference_steps))
  const num_inference_steps = within(draft.num_inference_steps, steps, defaultSteps)
  const control = usableControls(draft.control, model, start)
  const isWithout = (name: 'strength' | 'hires') => control.length > 0 && isWithoutControl(name, model)
  const strength = within(draft.strength, bounds.strength, start?.edit ? PART_STRENGTH : defaults.strength)
  const hires = draft.hires && { ...draft.hires, steps: draft.hires.steps ?? num_inference_steps }
  const size = start?.sources?.[0] ? editSize(start.sources[0], model) : defaults
  const clipSkip = hasFeature(model, 'clip_skip') ? bounds.clip_skip : null
  return {
    prompt: draft.prompt,
    negative_prompt: model.takes_negative_prompt ? draft.negative_prompt : '',
    width: within(draft.width, bounds.width, size.width),
    height: within(draft.height, bounds.height, size.height),
    num_images_per_prompt: within(draft.num_images_per_prompt, bounds.images, defaults.num_images_per_prompt),
    num_inference_steps,
    guidance_scale: model.takes_guidance_scale
      ? within(draft.guidance_scale, bounds.guidance_scale, defaults.guidance_scale)
      : defaults.guidance_scale,
    scheduler,
    output_format: choice(draft.output_format, formats, defaults.output_format),
    strength: isWithout('strength') ? bounds.strength.maximum : strength,
    loras,
    control,
    clip_skip: isInteger(draft.clip_skip ?? NaN, clipSkip ?? NOTHING) ? draft.clip_skip : null,
    hires:
      hires && !start && !isWithout('hires') && hasFeature(model, 'hires') && isHires(hires, model, steps)
        ? hires
        : null,
  }
}

/** Whether the size is none of the model's. */
export function isCustomSize({ width, height }: Settings, { sizes }: Model): boolean {
  return !sizes.some((size) => size.width === width && size.height === height)
}

const PLAIN_SETTINGS = [
  'negative_prompt',
  'num_inference_steps',
  'guidance_scale',
  'scheduler',
  'output_format',
  'clip_skip',
] as const

/** Return the names of the advanced settings that are not the model's defaults. They apply while they are hidden. */
export function changedSettings(draft: Draft, model: Model, start: Start | null = null): string[] {
  const settings = resolveSettings(draft, model, start)
  const { loras } = settings
  const defaults = resolveSettings({ ...emptyDraft(), scheduler: draft.scheduler, loras }, model)
  defaults.scheduler = withLoras(model, loras).defaults.scheduler
  return [
    ...PLAIN_SETTINGS.filter((name) => settings[name] !== defaults[name]),
    ...(draft.width !== null && isCustomSize(settings, model) ? ['size'] : []),
    ...(settings.hires ? ['hires'] : []),
    ...(wantsFlagged(draft, model) ? ['content'] : []),
    ...(draft.seedLocked ? ['seed'] : []),
  ]
}

/** Return what a model does not take from the draft, and leaves to the others. */
function notTaken({ negative_prompt }: Draft, model: Model): Partial<Draft> {
  return model.takes_negative_prompt ? {} : { negative_prompt }
}

/** Set the advanced settings to the model's defaults. A size of the model stays. */
export function resetSettings(draft: Draft, model: Model) {
  const { prompt, num_images_per_prompt, strength, width, height, loras, control, weighted, ...advanced } = emptyDraft()
  const size = isCustomSize(resolveSettings(draft, model), model) ? { width, height } : {}
  Object.assign(draft, advanced, size, notTaken(draft, model))
}

/** Return the size of the result: the settings' size is that of the init image without its margins. */
export function resultSize({ width, height }: Pick<Settings, 'width' | 'height'>, start: Start | null) {
  const { left, right, top, bottom } = start?.edit?.margins ?? { left: 0, right: 0, top: 0, bottom: 0 }
  return { width: width + left + right, height: height + top + bottom }
}

/** Return the size in which the model takes an image and its margins: the image's own if it can, never a larger one. */
export function fittingSize(image: ImageSize, { bounds }: Model, { left, right, top, bottom }: Margins): ImageSize {
  const [width, height] = [bounds.width.maximum - left - right, bounds.height.maximum - top - bottom]
  const scale = Math.min(1, width / image.width, height / image.height)
  const side = (pixels: number, minimum: number) =>
    Math.max(minimum, Math.floor((pixels * scale) / bounds.side_multiple) * bounds.side_multiple)
  return { width: side(image.width, bounds.width.minimum), height: side(image.height, bounds.height.minimum) }
}

/**
 * Cost in pixel-steps of both passes, as the API counts them. From an init image only `strength` of the steps run; images
 * to look at are read anew at each step.
 */
export function pixelSteps(settings: Settings, { bounds }: Model, start: Start | null): number {
  const { num_inference_steps, num_images_per_prompt, strength, loras, control, hires } = settings
  const sources = start?.sources
  const work = ({ width, height }: ImageSize, steps: number) => {
    const pixels = width * height + (sources ? sources.length * bounds.edit_pixels : 0)
    const product = pixels * steps * num_images_per_prompt
    return Math.floor(
      (product * (100 + bounds.lora_cost_percent * loras.length + bounds.control_cost_percent * control.length)) / 100,
    )
  }
  const first = work(
    resultSize(settings, start),
    start && !sources ? lastSteps(num_inference_steps, strength) : num_inference_steps,
  )
  return first + (hires ? work(hiresSize(settings), lastSteps(hires.steps, hires.strength)) : 0)
}

/** Return the failure that the API would report for these settings, or null. */
export function validate(settings: Settings, model: Model, start: Start | null): Failure | null {
  const { bounds } = model
  if (!settings.prompt.trim()) return failure('request', 'empty_prompt', 'prompt')
  for (const [name, { maximum }] of [
    ['prompt', bounds.prompt_chars],
    ['negative_prompt', bounds.negative_prompt_chars],
  ] as const) {
    if (Array.from(settings[name]).length > maximum) return failure('request', 'long_prompt', name)
  }
  if (settings.width % bounds.side_multiple) return failure('request', 'not_multiple_of_8', 'width')
  if (settings.height % bounds.side_multiple) return failure('request', 'not_multiple_of_8', 'height')
  const { width, height } = resultSize(settings, start)
  if (width > bounds.width.maximum || height > bounds.height.maximum)
    return failure('request', 'large_margins', 'outpaint')
  const result = hiresSize(settings)
  if (result.width > bounds.width.maximum || result.height > bounds.height.maximum)
    return failure('request', 'large_hires', 'hires')
  return pixelSteps(settings, model, start) > bounds.max_pixel_steps ? failure('request', 'job_too_large') : null
}

/** Build the request. */
export function toRequest(draft: Draft, model: Model, start: EncodedStart | null): GenerationRequest {
  const { strength, loras, control, clip_skip, hires, ...settings } = resolveSettings(draft, model, start)
  return {
    ...settings,
    ...resultSize(settings, start),
    ...(draft.seedLocked && draft.seed !== null && { seed: draft.seed }),
    ...(loras.length && { loras }),
    ...(clip_skip !== null && { clip_skip }),
    ...(hires && { hires }),
    ...(wantsFlagged(draft, model) && { content: 'flag' as const }),
    ...(isWeighted(draft, model) && { prompt_syntax: 'weighted' as const }),
    ...(start && { ...start.images, ...(!start.sources && { strength, ...toPart(start.edit) }) }),
    ...(hasFeature(model, 'embed_parameters') && { embed_parameters: true }),
  }
}

/** Whether images that the safety checker flags are returned. */
export function wantsFlagged({ content }: Draft, model: Model): boolean {
  return content === 'flag' && model.content.includes('flag')
}

/** Whether the weights of words in the prompt are read. */
export function isWeighted(draft: Draft, model: Model | null): boolean {
  return draft.weighted && hasFeature(model, 'weighted_prompts')
}

function toPart(edit: Edit | null) {
  return edit && { mask_blur: edit.blur, ...(hasMargins(edit) && { outpaint: edit.margins }) }
}

/** What parameters with a prompt do not have if they do not name it. */
const NO_EXTRAS = { negative_prompt: '', loras: [], control: [], clip_skip: null, hires: null }

/**
 * Copy parameters into the draft and lock the seed. A negative prompt is left to the models that take one. Return the
 * names of the parameters that this model does not accept.
 */
export function applyParameters(draft: Draft, parameters: Partial<Parameters>, model: Model): string[] {
  const { embed_parameters, mask_mode, mask_blur, outpaint, prompt_syntax, images, ...rest } = parameters
  const { scheduler } = resolveSettings({ ...draft, scheduler: rest.scheduler ?? draft.scheduler }, model)
  const names = notAccepted({ ...rest, prompt_syntax }, model, scheduler)
  const accepted = Object.fromEntries(Object.entries(rest).filter(([name]) => !names.includes(name)))
  const extras = 'prompt' in rest ? { ...NO_EXTRAS, weighted: prompt_syntax !== undefined } : {}
  Object.assign(draft, extras, accepted, notTaken(draft, model))
  if ('seed' in accepted) draft.seedLocked = true
  return names
}

/**
 * Set the settings of a preset. What it leaves open, or what this model does not accept, becomes the model's default;
 * without a size the size stays, and a negative prompt is left to the models that take one. Return the names of the
 * settings that are not accepted.
 */
export function applyPreset(draft: Draft, preset: Preset, model: Model): string[] {
  const { name, name_in, width, height, ...settings } = preset
  const size = width === null ? {} : { width, height }
  const given = Object.fromEntries(Object.entries({ ...settings, ...size }).filter(([, value]) => value !== null))
  const names = notAccepted(given, model, preset.scheduler ?? model.defaults.scheduler)
  const refused = Object.fromEntries(names.map((refusedName) => [refusedName, null]))
  const negative_prompt = settings.negative_prompt ?? ''
  Object.assign(draft, settings, size, refused, { negative_prompt }, notTaken(draft, model))
  return names
}

/** Return the names of the parameters that this model does not accept. */
function notAccepted(parameters: Partial<Parameters>, model: Model, scheduler: string): string[] {
  const { bounds, schedulers, formats } = model
  const { prompt, negative_prompt, width, height, guidance_scale, strength, clip_skip, hires } = parameters
  const checks = {
    prompt: prompt === undefined || prompt.length <= MAX_LOADED_CHARS,
    negative_prompt: !negative_prompt || (model.takes_negative_prompt && negative_prompt.length <= MAX_LOADED_CHARS),
    width: isInteger(width, bounds.width) && (width ?? 0) % bounds.side_multiple === 0,
    height: isInteger(height, bounds.height) && (height ?? 0) % bounds.side_multiple === 0,
    num_inference_steps: isInteger(parameters.num_inference_steps, stepRange(model, scheduler)),
    guidance_scale: model.takes_guidance_scale
      ? inRange(guidance_scale, bounds.guidance_scale)
      : (guidance_scale ?? model.defaults.guidance_scale) === model.defaults.guidance_scale,
    seed: isInteger(parameters.seed, bounds.seed),
    strength: strength === undefined || (hasFeature(model, 'image_to_image') && inRange(strength, bounds.strength)),
    scheduler: parameters.scheduler === undefined || schedulers.includes(parameters.scheduler),
    prompt_syntax: parameters.prompt_syntax === undefined || hasFeature(model, 'weighted_prompts'),
    clip_skip: clip_skip === undefined || isInteger(clip_skip, bounds.clip_skip ?? NOTHING),
    hires: hires === undefined || (hasFeature(model, 'hires') && isHires(hires, model, stepRange(model, scheduler))),
    control: parameters.control === undefined || acceptsControls(parameters.control, model),
    content: parameters.content === undefined || model.content.includes('flag'),
    loras: parameters.loras === undefined || isAvailable(parameters.loras, model),
    output_format: parameters.output_format === undefined || formats.includes(parameters.output_format),
  }
  return Object.entries(checks).flatMap(([name, isAccepted]) => (isAccepted ? [] : [name]))
}

function isAvailable(loras: ChosenLora[], model: Model): boolean {
  const isInRange = loras.every(({ scale }) => inRange(scale, model.bounds.lora_scale))
  return isInRange && availableLoras(loras, model).length === loras.length
}

/** Whether a value is missing or within the range. */
function inRange(value: number | undefined, { minimum, maximum }: Range): boolean {
  return value === undefined || (value >= minimum && value <= maximum)
}

function isInteger(value: number | undefined, range: Range): boolean {
  return inRange(value, range) && (value === undefined || Number.isInteger(value))
}
