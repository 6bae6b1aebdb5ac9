import { computed, ref, shallowRef } from 'vue'
import type { Job } from '@/api/types'
import {
  clearStore,
  deleteImages,
  jobOf,
  readFile,
  readImages,
  readInput,
  storeImages,
  storeInput,
  sweepInputs,
  toHistoryImages,
  updateImage,
  type HistoryImage,
  type ImageWithFile,
  type InputKind,
} from './imageStore'

/** The images kept in this browser, newest first, and the selected image. All tabs show the same images. */
export function useHistory() {
  const images = shallowRef<HistoryImage[]>([])
  const selectedId = ref<string | null>(null)
  /** Show the selected image's job as a grid. */
  const wantsGrid = ref(false)
  /** Show the selected image over its init image, with a slider. */
  const comparing = ref(false)
  /** Ids of the flagged images that the user wants to see. */
  const revealed = ref(new Set<string>())
  const unstoredFiles = new Map<string, Blob>()
  const otherTabs = new BroadcastChannel('easel.history')

  const index = computed(() =>
    Math.max(
      0,
      images.value.findIndex(({ id }) => id === selectedId.value),
    ),
  )
  const selected = computed(() => images.value[index.value] ?? null)
  /** The images of the selected image's job, in their order. */
  const jobImages = computed(() => {
    const job = selected.value && jobOf(selected.value)
    return images.value.filter((image) => jobOf(image) === job)
  })
  const isGrid = computed(() => wantsGrid.value && jobImages.value.length > 1)

  // A change in another tab does not change the image that this tab shows.
  otherTabs.onmessage = () => {
    selectedId.value ??= selected.value?.id ?? null
    void load()
  }

  async function load() {
    const unstored = images.value.filter(({ id }) => unstoredFiles.has(id))
    images.value = [...unstored, ...(await readImages().catch(() => []))]
  }

  const tellOtherTabs = () => otherTabs.postMessage(null)

  /** Add a job's images. Return false if the browser has no room: then they are lost with a reload. */
  async function add(job: Job, files: Blob[], model: string, afterCancel = false): Promise<boolean> {
    const added = await toHistoryImages(job, files, model, afterCancel)
    const isStored = await storeImages(added).then(
      () => true,
      () => false,
    )
    if (isStored) tellOtherTabs()
    else for (const { image, file } of added) unstoredFiles.set(image.id, file)
    const ids = new Set(added.map(({ image }) => image.id))
    images.value = [...added.map(({ image }) => image), ...images.value.filter(({ id }) => !ids.has(id))]
    selectedId.value = added[0]?.image.id ?? null
    wantsGrid.value = true
    comparing.value = false
    return isStored
  }

  async function file(id: string): Promise<Blob | undefined> {
    return unstoredFiles.get(id) ?? readFile(id)
  }

  /** Delete images and return a function that restores them. */
  async function remove(removed: HistoryImage[]): Promise<() => Promise<void>> {
    const ids = new Set(removed.map(({ id }) => id))
    const entries: ImageWithFile[] = []
    for (const image of removed) {
      const imageFile = await file(image.id)
      if (imageFile) entries.push({ image, file: imageFile })
    }
    const before = images.value
    const isLeft = ({ id }: HistoryImage) => !ids.has(id)
    const neighbour = before.slice(index.value).find(isLeft) ?? before.slice(0, index.value).reverse().find(isLeft)
    if (selected.value && ids.has(selected.value.id)) selectedId.value = neighbour?.id ?? null
    images.value = before.filter(isLeft)
    await deleteImages([...ids])
    tellOtherTabs()
    return async () => {
      await restore(entries)
      selectedId.value = removed[0]?.id ?? null
    }
  }

  /** Store images with their files, and show them in their place. */
  async function restore(entries: ImageWithFile[]) {
    await storeImages(entries)
    await reload()
  }

  /** Show what the store has, also in the other tabs. */
  async function reload() {
    tellOtherTabs()
    await load()
  }

  async function clear() {
    images.value = []
    unstoredFiles.clear()
    await clearStore()
    tellOtherTabs()
  }

  async function toggleFavourite(image: HistoryImage) {
    const changed = { ...image, favourite: !image.favourite }
    if (!unstoredFiles.has(image.id)) {
      await updateImage(changed)
      tellOtherTabs()
    }
    images.value = images.value.map((other) => (other.id === image.id ? changed : other))
  }

  /** Whether an image is shown blurred. */
  const isHidden = ({ id, flagged }: HistoryImage) => flagged === true && !revealed.value.has(id)

  /** Show one image. */
  function select(id: string) {
    selectedId.value = id
    wantsGrid.value = false
    comparing.value = false
  }

  /** Keep an input of a job. If the browser has no room, its images cannot be compared with it. */
  const keepInput = (kind: InputKind, job: string, file: Blob) => storeInput(kind, job, file).catch(() => undefined)

  /** What an image was generated from, if this browser has it. */
  const input = (kind: InputKind, image: HistoryImage) => readInput(kind, jobOf(image))

  /** Delete the inputs that are of no image and no unfinished job. */
  async function sweep(unfinished: string[]) {
    const needed = new Set([...unfinished, ...images.value.map(jobOf)])
    await sweepInputs((job) => needed.has(job)).catch(() => undefined)
  }

  /** Select the next newer (-1) or older (+1) image. */
  function step(by: 1 | -1) {
    select(images.value[index.value + by]?.id ?? selected.value?.id ?? '')
  }

  return {
    images,
    selected,
    jobImages,
    isGrid,
    wantsGrid,
    comparing,
    revealed,
    isHidden,
    input,
    keepInput,
    sweep,
    load,
    add,
    file,
    remove,
    restore,
    reload,
    clear,
    toggleFavourite,
    select,
    step,
  }
}
