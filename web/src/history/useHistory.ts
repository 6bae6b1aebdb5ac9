import { computed, ref, shallowRef } from 'vue'
import type { Job } from '@/api/types'
import { deleteImages, readFile, readImages, storeImages, toHistoryImages, type HistoryImage } from './imageStore'

/** The images kept in this browser, newest first, and the selected image. */
export function useHistory() {
  const images = shallowRef<HistoryImage[]>([])
  const selectedId = ref<string | null>(null)
  const unstoredFiles = new Map<string, Blob>()

  const index = computed(() =>
    Math.max(
      0,
      images.value.findIndex(({ id }) => id === selectedId.value),
    ),
  )
  const selected = computed(() => images.value[index.value] ?? null)

  async function load() {
    images.value = await readImages().catch(() => [])
  }

  /** Add a job's images. Return false if the browser has no room: then they are lost with a reload. */
  async function add(job: Job, files: Blob[], model: string): Promise<boolean> {
    const added = await toHistoryImages(job, files, model)
    const isStored = await storeImages(added).then(
      () => true,
      () => false,
    )
    if (!isStored) for (const { image, file } of added) unstoredFiles.set(image.id, file)
    const ids = new Set(added.map(({ image }) => image.id))
    images.value = [...added.map(({ image }) => image), ...images.value.filter(({ id }) => !ids.has(id))]
    selectedId.value = added[0]?.image.id ?? null
    return isStored
  }

  async function file(id: string): Promise<Blob | undefined> {
    return unstoredFiles.get(id) ?? readFile(id)
  }

  /** Delete an image and return a function that restores it. */
  async function remove(image: HistoryImage): Promise<() => Promise<void>> {
    const imageFile = await file(image.id)
    const before = images.value
    const neighbour = before[index.value + 1] ?? before[index.value - 1]
    if (image.id === selected.value?.id) selectedId.value = neighbour?.id ?? null
    images.value = before.filter(({ id }) => id !== image.id)
    await deleteImages([image.id])
    return async () => {
      if (imageFile) await storeImages([{ image, file: imageFile }])
      await load()
      selectedId.value = image.id
    }
  }

  async function clear() {
    const ids = images.value.map(({ id }) => id)
    images.value = []
    await deleteImages(ids)
  }

  /** Select the next newer (-1) or older (+1) image. */
  function step(by: 1 | -1) {
    selectedId.value = images.value[index.value + by]?.id ?? selectedId.value
  }

  return { images, selected, selectedId, load, add, file, remove, clear, step }
}
