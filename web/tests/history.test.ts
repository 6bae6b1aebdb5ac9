import 'fake-indexeddb/auto'
import { Blob as NodeBlob } from 'node:buffer'
import { beforeEach, expect, test, vi } from 'vitest'
import { useHistory } from '@/history/useHistory'
import { deleteImages, readImages, readInput } from '@/history/imageStore'
import { createFinishedJob, createJob } from './data'

const LATER = { id: 'job-2', created_at: '2026-11-23T09:00:00.000Z' }

// happy-dom's Blob cannot be cloned into IndexedDB, and it has no canvas.
vi.stubGlobal('Blob', NodeBlob)
vi.stubGlobal('createImageBitmap', () => Promise.resolve({ width: 64, height: 64, close: () => undefined }))
Object.assign(HTMLCanvasElement.prototype, {
  getContext: () => ({ drawImage: () => undefined }),
  toBlob: (callback: BlobCallback) => {
    callback(new Blob(['thumbnail']))
  },
})

beforeEach(async () => {
  await deleteImages((await readImages()).map(({ id }) => id))
})

const createFile = () => new Blob(['image'], { type: 'image/png' })

async function historyOfTwo() {
  const history = useHistory()
  await history.add(createFinishedJob(), [createFile()], 'example')
  await history.add(createFinishedJob(LATER), [createFile()], 'example')
  return history
}

test('images and files survive a reload, newest first', async () => {
  await historyOfTwo()
  const reloaded = useHistory()
  await reloaded.load()
  expect(reloaded.images.value.map(({ id }) => id)).toEqual(['job-2-0', 'job-1-0'])
  expect(reloaded.images.value[0]).toMatchObject({
    parameters: { prompt: 'a red apple', seed: 7 },
    model: 'example',
    seconds: 1.5,
  })
  expect(await (await reloaded.file('job-2-0'))?.text()).toBe('image')
})

test('each image of a job has its own prompt and seed', async () => {
  const image = { url: '', width: 8, height: 8, media_type: 'image/png', flagged: false, flagged_reason: null }
  const job = createJob({
    parameters: { prompt: ['a cat', 'a dog'], num_images_per_prompt: 2, seed: 4 },
    images: [4, 5, 6, 7].map((seed) => ({ ...image, seed })),
  })
  const history = useHistory()
  await history.add(job, [createFile(), createFile(), createFile(), createFile()], 'example')
  expect(history.images.value.map(({ parameters }) => [parameters.prompt, parameters.seed])).toEqual([
    ['a cat', 4],
    ['a cat', 5],
    ['a dog', 6],
    ['a dog', 7],
  ])
  expect(history.selected.value?.id).toBe('job-1-0')
})

test('strength is kept only for images with an init image', async () => {
  const parameters = { ...createJob().parameters, strength: 0.5 }
  const history = useHistory()
  await history.add(createFinishedJob({ parameters }), [createFile()], 'example')
  expect(history.selected.value?.parameters).not.toHaveProperty('strength')
  await history.add(createFinishedJob({ parameters: { ...parameters, init_image: 'sha256:0' } }), [createFile()], 'e')
  expect(history.selected.value?.parameters).toMatchObject({ strength: 0.5 })
})

test('adding a job twice keeps one copy', async () => {
  const history = useHistory()
  await history.add(createFinishedJob(), [createFile()], 'example')
  await history.add(createFinishedJob(), [createFile()], 'example')
  expect(history.images.value).toHaveLength(1)
})

test('stepping stops at both ends', async () => {
  const history = await historyOfTwo()
  history.step(-1)
  expect(history.selected.value?.id).toBe('job-2-0')
  history.step(1)
  history.step(1)
  expect(history.selected.value?.id).toBe('job-1-0')
})

test('deleting selects the neighbour and can be undone', async () => {
  const history = await historyOfTwo()
  const [newest] = history.images.value
  if (!newest) throw new Error('The history is empty')
  const undo = await history.remove([newest])
  expect(history.selected.value?.id).toBe('job-1-0')
  expect(await readImages()).toHaveLength(1)
  await undo()
  expect(history.selected.value?.id).toBe('job-2-0')
  expect(await (await history.file('job-2-0'))?.text()).toBe('image')
})

test('if the storage is full the image is shown but not stored', async () => {
  const history = useHistory()
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('full', 'QuotaExceededError')
  })
  expect(await history.add(createFinishedJob(), [createFile()], 'example')).toBe(false)
  vi.restoreAllMocks()
  expect(await (await history.file('job-1-0'))?.text()).toBe('image')
})

test('the init image of a job stays as long as an image or an unfinished job needs it', async () => {
  const history = await historyOfTwo()
  for (const job of ['job-1', 'job-2', 'job-3', 'job-4']) await history.keepInput('init', job, createFile())
  const [newest] = history.images.value
  if (newest) await history.remove([newest])
  await history.sweep(['job-3'])
  const kept = await Promise.all(['job-1', 'job-2', 'job-3', 'job-4'].map((job) => readInput('init', job)))
  expect(kept.map((file) => file !== undefined)).toEqual([true, false, true, false])
  await history.clear()
  expect(await readInput('init', 'job-1')).toBeUndefined()
  expect(await readImages()).toEqual([])
})
