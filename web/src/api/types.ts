import type { Margins } from '@/inpaint/edit'
import type { Hires } from '@/request/hires'
import type { components } from './schema'

type Schemas = components['schemas']

export type EndpointHealth = Schemas['EndpointHealth']
/** An older API has one model. */
export type Health = Omit<Schemas['Health'], 'models'> & { models?: Record<string, EndpointHealth> }
export type Job = Schemas['Job']
export type JobError = Schemas['JobError']
/** An older API has the state of its one model in the health alone. */
export type Model = Omit<Schemas['Model'], 'state'> & { state?: EndpointHealth }
export type Preset = Schemas['Preset']
export type Problem = Schemas['Problem']
export type Size = Schemas['Size']
export type Feature = Model['features'][number]

/** Fields whose values the model lists at run time, so that they are plain text here. */
interface RuntimeChoices {
  model: string
  scheduler: string
  output_format: string
}

/** Fields whose items the OpenAPI document leaves open. */
interface Lists {
  images: string[]
  control: (ChosenControl & { image: string })[]
}

export type GenerationRequest = Omit<Schemas['GenerationRequest'], keyof RuntimeChoices | keyof Lists> &
  Partial<RuntimeChoices & Lists>

type RequiredFields = { [Name in keyof GenerationRequest]-?: NonNullable<GenerationRequest[Name]> }

type RequestOnly =
  | 'model'
  | 'images'
  | 'control'
  | 'prompt'
  | 'num_images_per_prompt'
  | 'deadline_ms'
  | 'webhook'
  | 'webhook_events'
  | 'init_image'
  | 'mask_image'
  | 'mask_mode'
  | 'mask_blur'
  | 'outpaint'
  | 'strength'
  | 'embed_parameters'
  | 'loras'
  | 'prompt_syntax'
  | 'clip_skip'
  | 'content'
  | 'hires'

/** A ControlNet of a request, without its image. */
export interface ChosenControl {
  id: string
  scale: number
  /** Parts of the steps between which it has an effect. */
  start: number
  end: number
  /** The image becomes a map of its edges. */
  preprocess?: 'canny'
}

/** A LoRA of a request. */
export interface ChosenLora {
  id: string
  scale: number
}

/** The parameters of a single image. */
export interface Parameters extends Omit<RequiredFields, RequestOnly> {
  prompt: string
  /** Present if the image was generated from an init image. */
  strength?: number
  embed_parameters?: boolean
  /** Present if only the marked part of the init image was generated. */
  mask_mode?: string
  mask_blur?: number
  /** Pixels by which the init image was extended. */
  outpaint?: Margins
  loras?: ChosenLora[]
  control?: ChosenControl[]
  /** Present if the prompt was weighted. */
  prompt_syntax?: 'weighted'
  /** Present if images that the safety checker flags were to be returned. */
  content?: 'flag'
  /** Hashes of the images that the model looked at. */
  images?: string[]
  /** Present if it was set. */
  clip_skip?: number
  /** Present if there was a second pass. Width and height are those of the first. */
  hires?: Hires
}
