import type { Parameters } from '@/api/types'
import { toControls } from '@/control/controls'
import { toLoras } from '@/request/loras'
import { imageName } from '@/stage/saveImage'
import {
  EDIT_KINDS,
  jobOf,
  makeThumbnail,
  readInput,
  storeImages,
  storeInput,
  toMargins,
  toPasses,
  type HistoryImage,
  type InputKind,
} from './imageStore'
import { readZip, writeZip, type ZipEntry } from './zip'

/** The entry that describes the others. A zip file with it can be imported. */
const MANIFEST = 'easel-history.json'
const FORMAT = 'easel-history'
const VERSION = 1
/** Images that are stored at a time. */
const BATCH = 16
const MEDIA_TYPES = ['image/png', 'image/webp', 'image/jpeg']
/** The folder and the field of the manifest for what jobs started from. */
const INPUTS: { kind: InputKind; folder: string; field: string }[] = [
  { kind: 'init', folder: 'init-images', field: 'initImages' },
  { kind: 'mask', folder: 'masks', field: 'masks' },
  { kind: 'control-0', folder: 'controls-1', field: 'controls1' },
  { kind: 'control-1', folder: 'controls-2', field: 'controls2' },
  ...EDIT_KINDS.map((kind, i) => ({ kind, folder: `images-${i + 1}`, field: `images${i + 1}` })),
]
/** Those of a job without images to look at. */
const OTHERS = INPUTS.length - EDIT_KINDS.length

type Files = (id: string) => Promise<Blob | undefined>
type Fields = Partial<Record<string, unknown>>

/** Write images, their settings, and what they were generated from, to a zip file. Throws RangeError above 4 GiB. */
export function exportImages(images: HistoryImage[], file: Files): Promise<Blob> {
  return writeZip(exportEntries(images, file))
}

async function* exportEntries(images: HistoryImage[], file: Files): AsyncGenerator<ZipEntry> {
  const names = new Set<string>()
  const described: Fields[] = []
  const inputs = INPUTS.map((): Record<string, string> => ({}))
  for (const { thumbnail, ...image } of images) {
    const [content, job] = [await file(image.id), jobOf(image)]
    if (!content) continue
    const name = uniqueName(imageName(image), names)
    described.push({ ...image, file: name })
    yield { name, file: content }
    for (const [i, { kind, folder }] of INPUTS.slice(0, OTHERS + (image.parameters.images?.length ?? 0)).entries()) {
      const paths = inputs[i] ?? {}
      const input = job in paths ? undefined : await readInput(kind, job)
      if (!input) continue
      const path = `${folder}/${job}.${input.type.replace('image/', '')}`
      paths[job] = path
      yield { name: path, file: input }
    }
  }
  const manifest = {
    format: FORMAT,
    version: VERSION,
    images: described,
    ...Object.fromEntries(
      INPUTS.flatMap(({ field }, i) => (i < OTHERS || hasPaths(inputs[i]) ? [[field, inputs[i]]] : [])),
    ),
  }
  yield { name: MANIFEST, file: new Blob([JSON.stringify(manifest, null, 1)]) }
}

function hasPaths(paths = {}): boolean {
  return Object.keys(paths).length > 0
}

function uniqueName(name: string, names: Set<string>): string {
  const [, stem = name, extension = ''] = /^(.*)(\.\w+)$/s.exec(name) ?? []
  let unique = name
  for (let i = 2; names.has(unique); i++) unique = `${stem}-${i}${extension}`
  names.add(unique)
  return unique
}

export interface ImportResult {
  added: number
  /** Images that the history has already. */
  known: number
  unreadable: number
}

/** Store the images of an exported zip file that are not in the history. Throws if it is none. */
export async function importImages(zip: Blob, isKnown: (id: string) => boolean): Promise<ImportResult> {
  const entries = await readZip(zip)
  const manifest = toFields(JSON.parse((await entries.get(MANIFEST)?.text()) ?? 'null'))
  if (manifest.format !== FORMAT || manifest.version !== VERSION || !Array.isArray(manifest.images)) {
    throw new Error(`the zip file has no ${MANIFEST} of version ${VERSION}`)
  }
  const described: unknown[] = manifest.images
  const result = { added: 0, known: 0, unreadable: 0 }
  const jobs = new Set<string>()
  for (let i = 0; i < described.length; i += BATCH) {
    const read = await Promise.all(described.slice(i, i + BATCH).map((value) => readImage(value, entries, isKnown)))
    const added = read.filter((entry) => typeof entry !== 'string')
    await storeImages(added)
    for (const { image } of added) jobs.add(jobOf(image))
    result.added += added.length
    for (const entry of read) if (typeof entry === 'string') result[entry]++
  }
  for (const { kind, field } of INPUTS) {
    const names = toFields(manifest[field] ?? {})
    for (const job of jobs) {
      const [name, file] = [String(names[job]), entries.get(String(names[job]))]
      const type = MEDIA_TYPES.find((mediaType) => name.endsWith(mediaType.replace('image/', '.'))) ?? 'image/jpeg'
      if (file) await storeInput(kind, job, file.slice(0, file.size, type))
    }
  }
  return result
}

async function readImage(value: unknown, entries: Map<string, Blob>, isKnown: (id: string) => boolean) {
  try {
    const fields = toFields(value)
    const described = toImage(fields)
    if (isKnown(described.id)) return 'known'
    const content = entries.get(toText(fields.file))
    if (!content) return 'unreadable'
    const file = content.slice(0, content.size, described.mediaType)
    return { image: { ...described, thumbnail: await makeThumbnail(file) }, file }
  } catch {
    return 'unreadable'
  }
}

/** Return what an entry of the manifest says of an image. Throws TypeError if a field is missing or of another type. */
function toImage(fields: Fields): Omit<HistoryImage, 'thumbnail'> {
  const { id, mediaType, seconds, warnings, favourite, flagged, afterCancel, generation } = fields
  if (!/^[\w-]{1,100}$/.test(toText(id))) throw new TypeError('id')
  if (!MEDIA_TYPES.includes(toText(mediaType))) throw new TypeError('mediaType')
  const work = generation === undefined ? undefined : toFields(generation)
  return {
    id: toText(id),
    createdAt: toNumber(fields.createdAt),
    model: toText(fields.model),
    mediaType: toText(mediaType),
    parameters: toParameters(toFields(fields.parameters)),
    seconds: seconds === null ? null : toNumber(seconds),
    warnings: Array.isArray(warnings) ? warnings.map(toText) : [],
    ...(favourite === true && { favourite }),
    ...(flagged === true && { flagged }),
    ...(afterCancel === true && { afterCancel }),
    ...(work && { generation: { seconds: toNumber(work.seconds), images: toNumber(work.images) } }),
  }
}

function toParameters({
  strength,
  embed_parameters,
  mask_mode,
  mask_blur,
  outpaint,
  loras,
  ...fields
}: Fields): Parameters {
  const margins = toMargins(outpaint)
  return {
    prompt: toText(fields.prompt),
    negative_prompt: toText(fields.negative_prompt),
    width: toNumber(fields.width),
    height: toNumber(fields.height),
    num_inference_steps: toNumber(fields.num_inference_steps),
    guidance_scale: toNumber(fields.guidance_scale),
    seed: toNumber(fields.seed),
    scheduler: toText(fields.scheduler),
    output_format: toText(fields.output_format),
    ...(strength !== undefined && { strength: toNumber(strength) }),
    ...(embed_parameters === true && { embed_parameters }),
    ...(mask_mode !== undefined && { mask_mode: toText(mask_mode) }),
    ...(mask_blur !== undefined && { mask_blur: toNumber(mask_blur) }),
    ...(margins && { outpaint: margins }),
    ...(fields.prompt_syntax === 'weighted' && { prompt_syntax: 'weighted' as const }),
    ...(fields.control !== undefined && { control: toControls(fields.control) }),
    ...(loras !== undefined && { loras: toLoras(loras) }),
    ...toPasses(fields),
    ...(fields.content === 'flag' && { content: 'flag' as const }),
    ...(Array.isArray(fields.images) && { images: fields.images.map(toText) }),
  }
}

function toFields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object')
  return Object.fromEntries(Object.entries(value))
}

function toText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('not a text')
  return value
}

function toNumber(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError('not a number')
  return value
}
