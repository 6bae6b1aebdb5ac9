import { computed, ref, shallowRef } from 'vue'
import type { Job } from '@/api/types'
import { forget, keep, readFile, readPictures, toPictures, type Picture } from '@/history'

/** The pictures of this browser, newest first, and the one that is looked at. */
export function useHistory() {
  const pictures = shallowRef<Picture[]>([])
  const selectedId = ref<string | null>(null)
  const unkept = new Map<string, Blob>()

  const index = computed(() => Math.max(0, pictures.value.findIndex(({ id }) => id === selectedId.value)))
  const selected = computed(() => pictures.value[index.value] ?? null)

  async function load() {
    pictures.value = await readPictures().catch(() => [])
  }

  /** False where the browser has no room: the pictures are shown, and gone after a reload. */
  async function add(job: Job, files: Blob[], model: string): Promise<boolean> {
    const added = await toPictures(job, files, model)
    const kept = await keep(added, files).then(
      () => true,
      () => false,
    )
    if (!kept) added.forEach(({ id }, i) => unkept.set(id, files[i]!))
    const ids = new Set(added.map(({ id }) => id))
    pictures.value = [...added, ...pictures.value.filter(({ id }) => !ids.has(id))]
    selectedId.value = added[0]?.id ?? null
    return kept
  }

  async function file(id: string): Promise<Blob | undefined> {
    return unkept.get(id) ?? readFile(id)
  }

  /** Gives the way back. */
  async function remove(picture: Picture): Promise<() => Promise<void>> {
    const found = await file(picture.id)
    const before = pictures.value
    const next = before[index.value + 1] ?? before[index.value - 1]
    if (picture.id === selected.value?.id) selectedId.value = next?.id ?? null
    pictures.value = before.filter(({ id }) => id !== picture.id)
    await forget([picture.id])
    return async () => {
      if (found) await keep([picture], [found])
      await load()
      selectedId.value = picture.id
    }
  }

  async function clear() {
    const ids = pictures.value.map(({ id }) => id)
    pictures.value = []
    await forget(ids)
  }

  /** Later pictures lie at -1, earlier ones at +1. */
  function step(by: 1 | -1) {
    selectedId.value = pictures.value[index.value + by]?.id ?? selectedId.value
  }

  return { pictures, selected, selectedId, load, add, file, remove, clear, step }
}
