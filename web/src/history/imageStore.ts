import { openDB, type DBSchema } from 'idb'
import type { Job, Parameters } from '@/api/types'
import { createCanvas, encodeCanvas } from '@/images/canvas'
import type { Margins } from '@/inpaint/edit'
import { toHires } from '@/request/hires'
import { toControls } from '@/control/controls'
import { toLoras } from '@/request/loras'

/** An image of the history without its file, so that a long list loads fast. */
export interface HistoryImage {
  id: string
  createdAt: number
  model: string
  mediaType: string
  parameters: Parameters
  seconds: number | null
  warnings: string[]
  thumbnail: Blob
  /** It arrived although the user had cancelled its job. */
  afterCancel?: boolean
  favourite?: boolean
  /** The model's safety checker flagged it. */
  flagged?: boolean
  /** Seconds that the model generated the whole job, and the images of that job. */
  generation?: { seconds: number; images: number }
}

export interface ImageWithFile {
  image: HistoryImage
  file: Blob
}

interface Schema extends DBSchema {
  images: { key: string; value: HistoryImage; indexes: { createdAt: number } }
  files: { key: string; value: Blob }
}

const THUMBNAIL_SIDE = 320
/** What a job started from: its init image, the mask of it, images that it looked at, or those of controls. */
export type InputKind = 'init' | 'mask' | `edit-${number}` | `control-${number}`

/** The most images to look at of one request, with any model. */
const MAX_EDITS = 10

export const EDIT_KINDS = Array.from({ length: MAX_EDITS }, (_, i): InputKind => `edit-${i}`)

export const INPUT_KINDS: InputKind[] = ['init', 'mask', 'control-0', 'control-1', ...EDIT_KINDS]

/** The key of an input. An image's key is its id, which starts with hex digits. */
const inputKey = (kind: InputKind, job: string) => `${kind}-${job}`

const openStore = () =>
  openDB<Schema>('easel.history', 1, {
    upgrade(db) {
      db.createObjectStore('images', { keyPath: 'id' }).createIndex('createdAt', 'createdAt')
      db.createObjectStore('files')
    },
  })

/** Return all images, newest first. */
export async function readImages(): Promise<HistoryImage[]> {
  const db = await openStore()
  return (await db.getAllFromIndex('images', 'createdAt')).reverse()
}

export async function readFile(id: string): Promise<Blob | undefined> {
  return (await openStore()).get('files', id)
}

/** Store images with their files. Rejects if the browser has no room. */
export async function storeImages(entries: ImageWithFile[]): Promise<void> {
  const transaction = (await openStore()).transaction(['images', 'files'], 'readwrite')
  for (const { image, file } of entries) {
    void transaction.objectStore('images').put(image)
    void transaction.objectStore('files').put(file, image.id)
  }
  await transaction.done
}

/** Change what is kept of an image beside its file. */
export async function updateImage(image: HistoryImage): Promise<void> {
  await (await openStore()).put('images', image)
}

/** Keep an input of a job, to compare its images with it and to use it again. */
export async function storeInput(kind: InputKind, job: string, file: Blob): Promise<void> {
  await (await openStore()).put('files', file, inputKey(kind, job))
}

export async function readInput(kind: InputKind, job: string): Promise<Blob | undefined> {
  return (await openStore()).get('files', inputKey(kind, job))
}

/** Delete the inputs of jobs that are neither waiting nor in the history. */
export async function sweepInputs(isNeeded: (job: string) => boolean): Promise<void> {
  const db = await openStore()
  for (const kind of INPUT_KINDS) {
    const start = inputKey(kind, '')
    const keys = await db.getAllKeys('files', IDBKeyRange.bound(start, `${start}\uffff`))
    for (const key of keys) if (!isNeeded(key.slice(start.length))) await db.delete('files', key)
  }
}

/** Delete everything. */
export async function clearStore(): Promise<void> {
  const transaction = (await openStore()).transaction(['images', 'files'], 'readwrite')
  void transaction.objectStore('images').clear()
  void transaction.objectStore('files').clear()
  await transaction.done
}

export async function deleteImages(ids: string[]): Promise<void> {
  const transaction = (await openStore()).transaction(['images', 'files'], 'readwrite')
  for (const id of ids) {
    void transaction.objectStore('images').delete(id)
    void transaction.objectStore('files').delete(id)
  }
  await transaction.done
}

/** Build the history entries of a finished job. `files` are in the order of the job's images. */
export async function toHistoryImages(
  job: Job,
  files: Blob[],
  model: string,
  afterCancel = false,
): Promise<ImageWithFile[]> {
  const createdAt = Date.parse(job.created_at)
  const { generate_s: seconds } = job.timings
  return Promise.all(
    files.map(async (file, i) => {
      const image = {
        id: `${job.id}-${i}`,
        // The first image of a job sorts as its newest.
        createdAt: createdAt - i / 100,
        model,
        mediaType: job.images[i]?.media_type ?? file.type,
        parameters: imageParameters(job, i),
        seconds: job.timings.job_s ?? null,
        warnings: job.warnings,
        thumbnail: await makeThumbnail(file),
        ...(afterCancel && { afterCancel }),
        ...(job.images[i]?.flagged && { flagged: true }),
        ...(seconds !== undefined && { generation: { seconds, images: files.length } }),
      }
      return { image, file }
    }),
  )
}

/** Return the id of the job that generated an image. */
export function jobOf({ id }: Pick<HistoryImage, 'id'>): string {
  return id.replace(/-\d+$/, '')
}

/** The parameters of image `i` of a job. A job's images are ordered by prompt. */
function imageParameters({ parameters, images, seeds }: Job, i: number): Parameters {
  const prompts = [parameters.prompt].flat()
  const imagesPerPrompt = toNumber(parameters.num_images_per_prompt) || 1
  return {
    prompt: toText(prompts[Math.floor(i / imagesPerPrompt)]),
    negative_prompt: toText(parameters.negative_prompt),
    width: toNumber(parameters.width),
    height: toNumber(parameters.height),
    num_inference_steps: toNumber(parameters.num_inference_steps),
    guidance_scale: toNumber(parameters.guidance_scale),
    seed: images[i]?.seed ?? seeds[i] ?? 0,
    scheduler: toText(parameters.scheduler),
    output_format: toText(parameters.output_format),
    ...(Boolean(parameters.init_image) && { strength: toNumber(parameters.strength) }),
    ...(Boolean(parameters.embed_parameters) && { embed_parameters: true }),
    ...toPart(parameters),
    ...(parameters.prompt_syntax === 'weighted' && { prompt_syntax: 'weighted' as const }),
    ...(toControls(parameters.control).length && { control: toControls(parameters.control) }),
    ...(toLoras(parameters.loras).length && { loras: toLoras(parameters.loras) }),
    ...toPasses(parameters),
    ...(parameters.content === 'flag' && { content: 'flag' as const }),
    ...(Array.isArray(parameters.images) && { images: parameters.images.map(String) }),
  }
}

/** Return the second pass, and which layer of the text encoder was used. */
export function toPasses({ clip_skip, hires }: Partial<Record<string, unknown>>): Partial<Parameters> {
  const pass = toHires(hires)
  return { ...(typeof clip_skip === 'number' && { clip_skip }), ...(pass && { hires: pass }) }
}

/** Return the fields that say which part of the init image was generated. */
function toPart({ mask_mode, mask_blur, outpaint }: Job['parameters']): Partial<Parameters> {
  const margins = toMargins(outpaint)
  return {
    ...(typeof mask_mode === 'string' && { mask_mode }),
    ...(typeof mask_blur === 'number' && { mask_blur }),
    ...(margins && { outpaint: margins }),
  }
}

/** Return the margins if they are some, else null. */
export function toMargins(value: unknown): Margins | null {
  if (typeof value !== 'object' || value === null) return null
  const sides = new Map(Object.entries(value))
  const side = (name: keyof Margins) => toNumber(sides.get(name))
  return { left: side('left'), right: side('right'), top: side('top'), bottom: side('bottom') }
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function toNumber(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

export async function makeThumbnail(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file)
  const scale = Math.min(1, THUMBNAIL_SIDE / Math.max(bitmap.width, bitmap.height))
  const { canvas, context } = createCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale))
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
  bitmap.close()
  return (await encodeCanvas(canvas, 'image/webp', 0.85)) ?? file
}
