import 'fake-indexeddb/auto'
import { Blob } from 'node:buffer'
import { beforeEach, expect, test, vi } from 'vitest'
import { useHistory } from '@/composables/useHistory'
import { forget, readPictures } from '@/history'
import { aJob, done } from './fakes'

beforeEach(async () => {
  vi.stubGlobal('createImageBitmap', async () => ({ width: 64, height: 64, close() {} }))
  HTMLCanvasElement.prototype.getContext = (() => ({ drawImage() {} })) as never
  HTMLCanvasElement.prototype.toBlob = (found) => found(new Blob(['small']) as globalThis.Blob)
  await forget((await readPictures()).map(({ id }) => id))
})

const file = () => new Blob(['picture'], { type: 'image/png' }) as globalThis.Blob

test('pictures are there after a reload, newest first, with their own bytes', async () => {
  const history = useHistory()
  await history.add(done(), [file()], 'example')
  await history.add({ ...done(), id: 'job-2', created_at: '2026-11-23T09:00:00.000Z' }, [file()], 'example')
  const reloaded = useHistory()
  await reloaded.load()
  expect(reloaded.pictures.value.map(({ id }) => id)).toEqual(['job-2-0', 'job-1-0'])
  expect(reloaded.pictures.value[0]).toMatchObject({ parameters: { prompt: 'a red apple', seed: 7 }, model: 'example', seconds: 1.5 })
  expect(await (await reloaded.file('job-2-0'))!.text()).toBe('picture')
})

test('each picture of a job has its own prompt and seed', async () => {
  const image = { url: '', width: 8, height: 8, media_type: 'image/png' }
  const job = aJob({
    parameters: { prompt: ['a cat', 'a dog'], num_images_per_prompt: 2, seed: 4 },
    images: [4, 5, 6, 7].map((seed) => ({ ...image, seed })),
  })
  const history = useHistory()
  await history.add(job, [file(), file(), file(), file()], 'example')
  const drawn = history.pictures.value.map(({ parameters }) => [parameters.prompt, parameters.seed])
  expect(drawn).toEqual([['a cat', 4], ['a cat', 5], ['a dog', 6], ['a dog', 7]])
  expect(history.selected.value?.id).toBe('job-1-0')
})

test('the same job twice is there once', async () => {
  const history = useHistory()
  await history.add(done(), [file()], 'example')
  await history.add(done(), [file()], 'example')
  expect(history.pictures.value).toHaveLength(1)
})

test('browsing stops at both ends', async () => {
  const history = useHistory()
  await history.add(done(), [file()], 'example')
  await history.add({ ...done(), id: 'job-2', created_at: '2026-11-23T09:00:00.000Z' }, [file()], 'example')
  history.step(-1)
  expect(history.selected.value?.id).toBe('job-2-0')
  history.step(1)
  history.step(1)
  expect(history.selected.value?.id).toBe('job-1-0')
})

test('a deletion shows the neighbour, and can be undone', async () => {
  const history = useHistory()
  await history.add(done(), [file()], 'example')
  await history.add({ ...done(), id: 'job-2', created_at: '2026-11-23T09:00:00.000Z' }, [file()], 'example')
  const undo = await history.remove(history.selected.value!)
  expect(history.selected.value?.id).toBe('job-1-0')
  expect(await readPictures()).toHaveLength(1)
  await undo()
  expect(history.selected.value?.id).toBe('job-2-0')
  expect(await (await history.file('job-2-0'))!.text()).toBe('picture')
})

test('without room the picture is shown all the same, and that is said', async () => {
  const history = useHistory()
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('full', 'QuotaExceededError')
  })
  expect(await history.add(done(), [file()], 'example')).toBe(false)
  vi.restoreAllMocks()
  expect(await (await history.file('job-1-0'))!.text()).toBe('picture')
})
