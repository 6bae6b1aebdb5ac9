import { openDB, type DBSchema } from 'idb'
import type { Job, Parameters } from './api/types'

/** One picture of the history. Its file is kept apart, so that a long list loads fast. */
export interface Picture {
  id: string
  createdAt: number
  model: string
  mediaType: string
  parameters: Parameters
  seconds: number | null
  warnings: string[]
  thumbnail: Blob
}

interface Shelf extends DBSchema {
  pictures: { key: string; value: Picture; indexes: { createdAt: number } }
  files: { key: string; value: Blob }
}

const THUMBNAIL_SIDE = 320

const shelf = () =>
  openDB<Shelf>('easel', 1, {
    upgrade(db) {
      db.createObjectStore('pictures', { keyPath: 'id' }).createIndex('createdAt', 'createdAt')
      db.createObjectStore('files')
    },
  })

/** Newest first. */
export async function readPictures(): Promise<Picture[]> {
  const db = await shelf()
  return (await db.getAllFromIndex('pictures', 'createdAt')).reverse()
}

export async function readFile(id: string): Promise<Blob | undefined> {
  return (await shelf()).get('files', id)
}

export async function keep(pictures: Picture[], files: Blob[]): Promise<void> {
  const change = (await shelf()).transaction(['pictures', 'files'], 'readwrite')
  pictures.forEach((picture, i) => {
    void change.objectStore('pictures').put(picture)
    void change.objectStore('files').put(files[i]!, picture.id)
  })
  await change.done
}

export async function forget(ids: string[]): Promise<void> {
  const change = (await shelf()).transaction(['pictures', 'files'], 'readwrite')
  for (const id of ids) {
    void change.objectStore('pictures').delete(id)
    void change.objectStore('files').delete(id)
  }
  await change.done
}

export async function toPictures(job: Job, files: Blob[], model: string): Promise<Picture[]> {
  const thumbnails = await Promise.all(files.map(makeThumbnail))
  const createdAt = Date.parse(job.created_at)
  return job.images.map((image, i) => ({
    id: `${job.id}-${i}`,
    // Within one job the first picture counts as the newest.
    createdAt: createdAt - i / 100,
    model,
    mediaType: image.media_type,
    parameters: { ...ofOne(job, i), seed: image.seed },
    seconds: job.timings.job_s ?? null,
    warnings: job.warnings,
    thumbnail: thumbnails[i]!,
  }))
}

/** Pictures come prompt by prompt. */
function ofOne({ parameters }: Job, i: number): Parameters {
  const { prompt, num_images_per_prompt, deadline_ms, init_image, strength, embed_parameters, ...rest } = parameters
  const prompts = [prompt].flat() as string[]
  return {
    ...rest,
    prompt: prompts[Math.floor(i / Number(num_images_per_prompt ?? 1))],
    ...(Boolean(init_image) && { strength }),
    ...(Boolean(embed_parameters) && { embed_parameters }),
  } as Parameters
}

async function makeThumbnail(file: Blob): Promise<Blob> {
  const picture = await createImageBitmap(file)
  const scale = Math.min(1, THUMBNAIL_SIDE / Math.max(picture.width, picture.height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(picture.width * scale)
  canvas.height = Math.round(picture.height * scale)
  canvas.getContext('2d')!.drawImage(picture, 0, 0, canvas.width, canvas.height)
  picture.close()
  return new Promise((resolve) => canvas.toBlob((small) => resolve(small ?? file), 'image/webp', 0.85))
}
