import 'fake-indexeddb/auto'
import { readFileSync } from 'node:fs'
import { Blob as NodeBlob } from 'node:buffer'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { nextTick } from 'vue'
import { editSize } from '@/edits/editSize'
import { encodeImages } from '@/edits/encodeImages'
import { MAX_PROPORTION, useEditImages } from '@/edits/useEditImages'
import { resolveSettings, changedSettings, emptyDraft, pixelSteps, toRequest, validate } from '@/request/draft'
import { createModel } from './data'

// happy-dom's Blob cannot be cloned into IndexedDB.
vi.stubGlobal('Blob', NodeBlob)

const MODEL = createModel({ edits: 3, features: ['hires', 'image_to_image'] })

/** Files whose text is their size, for example 64x512; other texts are no images. */
vi.stubGlobal('createImageBitmap', async (file: Blob) => {
  const [width, height] = (await file.text()).split('x').map(Number)
  if (!width || !height) throw new DOMException('no image')
  return { width, height, close: () => undefined }
})
const file = (size: string, type = 'image/png') => new Blob([size], { type })

beforeEach(() => sessionStorage.clear())

describe('the images to look at', () => {
  const sizes = ({ images }: ReturnType<typeof useEditImages>) =>
    images.value.map(({ size }) => `${size.width}x${size.height}`)

  test('are added up to the model’s limit, moved and removed', async () => {
    const onFirst = vi.fn()
    const edits = useEditImages(onFirst)
    expect(await edits.add([file('100x100'), file('200x200')], MODEL)).toEqual(new Map())
    expect(await edits.add([file('300x300'), file('400x400')], MODEL)).toEqual(new Map([['full', []]]))
    expect(onFirst).toHaveBeenCalledTimes(1)
    const keys = edits.images.value.map(({ key }) => key)
    expect(edits.move(keys[2] ?? 0, -1)).toBe(1)
    expect(edits.move(keys[0] ?? 0, -1)).toBe(0)
    expect(sizes(edits)).toEqual(['100x100', '300x300', '200x200'])
    edits.remove(keys[0] ?? 0)
    expect(sizes(edits)).toEqual(['300x300', '200x200'])
  })

  test('are refused if they are unreadable, too small or too long', async () => {
    const edits = useEditImages(() => undefined)
    const named = (size: string) => new File([size], `${size}.png`)
    expect(await edits.add([file('text'), named('63x64'), named('64x513')], MODEL)).toEqual(
      new Map([
        ['unreadable', []],
        ['proportions', ['63x64.png', '64x513.png']],
      ]),
    )
    expect(await edits.add([file('64x64'), file('64x512')], MODEL)).toEqual(new Map())
    expect(sizes(edits)).toEqual(['64x64', '64x512'])
  })

  test('are kept over a reload', async () => {
    const edits = useEditImages(() => undefined)
    await edits.add([file('100x100'), file('200x200')], MODEL)
    await nextTick()
    await vi.waitFor(async () => {
      const reloaded = useEditImages(() => undefined)
      await reloaded.restore()
      expect(sizes(reloaded)).toEqual(['100x100', '200x200'])
    })
  })
})

test('small files are sent as they are, and leave their room to the others', async () => {
  const image = (key: number, bytes: number) => {
    const blob = new Blob(['x'.repeat(bytes)], { type: 'image/webp' })
    return { key, file: blob, size: { width: 100, height: 100 } }
  }
  const encoded = await encodeImages([image(1, 60), image(2, 20), image(3, 40)], 120, 100 * 100)
  expect(encoded.map((text) => atob(text).length)).toEqual([60, 20, 40])
})

// As edit_size in contract.py computes them.
test.each([
  [512, 512, 512, 512],
  [4000, 3000, 576, 432],
  [300, 200, 288, 192],
  [100, 64, 96, 64],
  [3000, 400, 768, 96],
  [1023, 1025, 496, 512],
])('an image of %d × %d is generated anew as %d × %d', (width, height, newWidth, newHeight) => {
  expect(editSize({ width, height }, MODEL)).toEqual({ width: newWidth, height: newHeight })
})

describe('a request with images to look at', () => {
  const start = {
    edit: null,
    sources: [
      { width: 300, height: 200 },
      { width: 64, height: 64 },
    ],
  }
  const draft = { ...emptyDraft(), prompt: 'an oil painting', num_inference_steps: 2 }

  test('has their size unless it is set, and neither strength nor a second pass', () => {
    const pass = { scale: 2, strength: 0.5, steps: null }
    const request = toRequest({ ...draft, hires: pass }, MODEL, { ...start, images: { images: ['aGk=', 'aGk='] } })
    expect(request).toMatchObject({ images: ['aGk=', 'aGk='], width: 288, height: 192 })
    expect(Object.keys(request)).not.toEqual(expect.arrayContaining(['strength', 'hires']))
    expect(resolveSettings({ ...draft, width: 512, height: 512 }, MODEL, start)).toMatchObject({ width: 512 })
    expect(changedSettings(draft, MODEL, start)).toEqual(['num_inference_steps'])
  })

  test('costs what the API counts', () => {
    const settings = resolveSettings(draft, MODEL, start)
    const cost = (288 * 192 + 2 * MODEL.bounds.edit_pixels) * 2
    expect(pixelSteps(settings, MODEL, start)).toBe(cost)
    const limited = (max_pixel_steps: number) => createModel({ bounds: { ...MODEL.bounds, max_pixel_steps } })
    expect(validate(settings, limited(cost), start)).toBeNull()
    expect(validate(settings, limited(cost - 1), start)?.code).toBe('job_too_large')
  })
})

test('the most uneven proportions are the API’s', () => {
  const contract = readFileSync(`${import.meta.dirname}/../../model_code/contract.py`, 'utf8')
  expect(Number(/^EDIT_PROPORTION = (\d+)/m.exec(contract)?.[1])).toBe(MAX_PROPORTION)
})
