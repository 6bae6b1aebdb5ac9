import type { components } from './schema'

type Schemas = components['schemas']

export type GenerationRequest = Schemas['GenerationRequest']
export type Job = Schemas['Job']
export type JobError = Schemas['JobError']
export type Model = Schemas['Model']
export type Problem = Schemas['Problem']
export type Size = Schemas['Size']

type Settled = { [Name in keyof GenerationRequest]-?: NonNullable<GenerationRequest[Name]> }

type OfTheRequest = 'prompt' | 'num_images_per_prompt' | 'deadline_ms' | 'init_image' | 'strength' | 'embed_parameters'

export type Feature = Model['features'][number]

/** What one picture is drawn from. The model says at run time which schedulers and formats there are. */
export interface Parameters extends Omit<Settled, OfTheRequest | 'scheduler' | 'output_format'> {
  prompt: string
  scheduler: string
  output_format: string
  /** Only where it started from a picture. */
  strength?: number
  embed_parameters?: boolean
}
