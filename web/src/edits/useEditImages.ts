import { ref, shallowRef, watch } from 'vue'
import type { Model } from '@/api/types'
import type { ImageSize } from '@/images/canvas'
import { draftFiles } from '@/request/useInitImage'

/** An image to look at, of which the prompt speaks. */
export interface EditImage {
  key: number
  file: Blob
  size: ImageSize
}

/** The most times that an image to look at may be longer than it is wide, or wider than it is long. */
export const MAX_PROPORTION = 8

/** Why an image was not added. */
export type Refusal = 'full' | 'unreadable' | 'proportions'

/** The images to look at in this tab, kept over a reload. `onFirst`: there was none before. */
export function useEditImages(onFirst: () => void) {
  const images = shallowRef<EditImage[]>([])
  const stored = draftFiles('edits')
  const lastKey = ref(0)

  let restored: EditImage[] = []

  watch(images, (changed) => {
    if (changed !== restored) void stored.keep(changed.map(({ file }) => file)).catch(() => undefined)
  })

  /** Add images that the model can look at. Return why others were not added, with the names of those that have one. */
  async function add(files: Blob[], model: Model): Promise<Map<Refusal, string[]>> {
    const refused = new Map<Refusal, string[]>()
    const refuse = (refusal: Refusal, file: Blob) => {
      refused.set(refusal, [...(refused.get(refusal) ?? []), ...(file instanceof File ? [file.name] : [])])
    }
    const isFirst = !images.value.length
    for (const file of files) {
      const size = await sizeOf(file)
      if (!size) refuse('unreadable', file)
      else if (!hasProportions(size, model)) refuse('proportions', file)
      else if (images.value.length >= model.edits) refuse('full', file)
      else images.value = [...images.value, { key: ++lastKey.value, file, size }]
    }
    if (isFirst && images.value.length) onFirst()
    return refused
  }

  function remove(key: number) {
    images.value = images.value.filter((image) => image.key !== key)
  }

  /** Move an image to the next place before (-1) or behind it (1). Return its index. */
  function move(key: number, by: 1 | -1): number {
    const from = images.value.findIndex((image) => image.key === key)
    const to = Math.min(images.value.length - 1, Math.max(0, from + by))
    const moved = [...images.value]
    moved.splice(to, 0, ...moved.splice(from, 1))
    images.value = moved
    return to
  }

  /** Put images in the place of all. */
  async function replace(files: Blob[], model: Model) {
    images.value = []
    return add(files, model)
  }

  async function restore() {
    const files = await stored.read()
    const sizes = await Promise.all(files.map(sizeOf))
    restored = files.flatMap((file, i) => {
      const size = sizes[i]
      return size ? [{ key: ++lastKey.value, file, size }] : []
    })
    if (!images.value.length && restored.length) images.value = restored
  }

  return { images, add, remove, move, replace, restore: () => restore().catch(() => undefined) }
}

/** Return the size of an image file, or null if it is none. */
export async function sizeOf(file: Blob): Promise<ImageSize | null> {
  try {
    const bitmap = await createImageBitmap(file)
    const { width, height } = bitmap
    bitmap.close()
    return { width, height }
  } catch {
    return null
  }
}

/** Whether the API takes the proportions of an image. */
export function hasProportions({ width, height }: ImageSize, { bounds }: Model): boolean {
  const [short, long] = [Math.min(width, height), Math.max(width, height)]
  return short >= bounds.width.minimum && long <= MAX_PROPORTION * short
}
