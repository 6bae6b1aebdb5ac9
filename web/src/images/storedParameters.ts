import type { Parameters } from '@/api/types'
import { schedulerOf } from './schedulers'

/** The parameters that a tool has stored in an image file. */
export interface StoredParameters {
  /** The tool or format, for example `ComfyUI`. */
  source: string
  parameters: Partial<Parameters>
  /** Each other field of the file, by the file's own name. */
  notTaken: NotTaken[]
}

export interface NotTaken {
  name: string
  value: string
}

/** Texts of an image file by place: PNG keyword, EXIF tag, `Comment` or `XMP 1`. Null: too large to read. */
export type Texts = Map<string, string | null>

/** Bytes of a text after inflating. A workflow of ComfyUI has less than one MiB. */
export const MAX_TEXT_BYTES = 4 * 2 ** 20

export type NumberName =
  'num_inference_steps' | 'guidance_scale' | 'seed' | 'width' | 'height' | 'strength' | 'clip_skip'

/** Collects the fields of a file: each is taken exactly, or listed as not taken. An empty field is a missing one. */
export class FieldCollector {
  readonly parameters: Partial<Parameters> = {}
  readonly notTaken: NotTaken[] = []

  number(parameter: NumberName, name: string, value: unknown) {
    const text = toText(value).trim()
    const isNumber = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text))
    if (isNumber) this.parameters[parameter] = Number(text)
    else this.reject(name, value)
  }

  size(name: string, value: unknown) {
    const [, width, height] = /^\(?\s*(\d+)\s*[x×,]\s*(\d+)\s*\)?$/i.exec(toText(value).trim()) ?? []
    if (width && height) Object.assign(this.parameters, { width: Number(width), height: Number(height) })
    else this.reject(name, value)
  }

  /** `isOwnName`: the sampler may be the name of a scheduler of the API. */
  scheduler(name: string, sampler: string, schedule = '', isOwnName = false) {
    const scheduler = schedulerOf(sampler, schedule) ?? (isOwnName ? sampler : null)
    if (scheduler) this.parameters.scheduler = scheduler
    else this.reject(name, [sampler, schedule].filter(Boolean).join(', '))
  }

  reject(name: string, value: unknown) {
    const text = toText(value)
    if (text.trim()) this.notTaken.push({ name, value: text })
  }
}

/** Render a value as text. Objects are JSON; null and undefined are empty. */
function toText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === null || value === undefined ? '' : JSON.stringify(value)
}
