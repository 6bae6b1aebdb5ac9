import 'fake-indexeddb/auto'
import { Blob as NodeBlob } from 'node:buffer'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, test, vi } from 'vitest'
import { clearStore, readImages, readInput, storeInput, type HistoryImage } from '@/history/imageStore'
import { exportImages, importImages } from '@/history/transfer'
import { crc32, readZip, writeZip } from '@/history/zip'
import { PARAMETERS } from './data'

// happy-dom's Blob cannot be cloned into IndexedDB, and it has no canvas.
vi.stubGlobal('Blob', NodeBlob)
vi.stubGlobal('createImageBitmap', async (file: Blob) => {
  if ((await file.text()) === 'no image') throw new Error('no image')
  return { width: 64, height: 64, close: () => undefined }
})
Object.assign(HTMLCanvasElement.prototype, {
  getContext: () => ({ drawImage: () => undefined }),
  toBlob: (callback: BlobCallback) => {
    callback(new Blob(['thumbnail']))
  },
})

beforeEach(clearStore)

const IMAGE: HistoryImage = {
  id: 'abc-0',
  createdAt: 5,
  model: 'example',
  mediaType: 'image/webp',
  parameters: { ...PARAMETERS, prompt: '一只 panda / "x"', seed: 7, strength: 0.5, clip_skip: 2, images: ['sha256:1'] },
  seconds: 1.5,
  warnings: ['a warning'],
  thumbnail: new Blob(['old']),
  favourite: true,
  flagged: true,
  generation: { seconds: 1, images: 2 },
}
const SECOND = { ...IMAGE, id: 'abc-1', createdAt: 4, favourite: false, seconds: null }
const file = (id: string) => Promise.resolve(new Blob([`file of ${id}`]))
const nothingKnown = () => false

/** Return an export whose manifest is changed. */
async function changedExport(change: (manifest: { images: object[] } & Record<string, unknown>) => unknown) {
  const entries = await readZip(await exportImages([IMAGE, SECOND], file))
  const manifest = JSON.parse((await entries.get('easel-history.json')?.text()) ?? '')
  change(manifest)
  entries.set('easel-history.json', new Blob([JSON.stringify(manifest)]))
  return writeZip(Array.from(entries, ([name, content]) => ({ name, file: content })))
}

test('a zip file has the checksums and names that other programs expect', async () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926)
  const now = new Date(2026, 10, 29, 13, 14, 16)
  const zip = await writeZip(
    [
      { name: '熊猫.txt', file: new Blob(['abc']) },
      { name: 'b/c', file: new Blob([]) },
    ],
    now,
  )
  const path = join(mkdtempSync(join(tmpdir(), 'easel-')), 'a.zip')
  writeFileSync(path, new Uint8Array(await zip.arrayBuffer()))
  const program = `import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), [(i.filename, i.date_time, z.read(i)) for i in z.infolist()])`
  const output = execFileSync(process.env.PYTHON ?? 'python3', ['-X', 'utf8', '-c', program, path], {
    encoding: 'utf8',
  })
  const date = '(2026, 11, 29, 13, 14, 16)'
  expect(output.trim()).toBe(`None [('熊猫.txt', ${date}, b'abc'), ('b/c', ${date}, b'')]`)
  const entries = await readZip(zip)
  expect(await entries.get('熊猫.txt')?.text()).toBe('abc')
  expect([...entries.keys()]).toEqual(['熊猫.txt', 'b/c'])
})

test('an export brings images, settings, favourites and init images back, and leaves what is there', async () => {
  await storeInput('init', 'abc', new Blob(['init image'], { type: 'image/jpeg' }))
  await storeInput('mask', 'abc', new Blob(['mask'], { type: 'image/png' }))
  const zip = await exportImages([IMAGE, SECOND], file)
  expect([...(await readZip(zip)).keys()]).toEqual([
    '一只-panda-x-7.webp',
    'init-images/abc.jpeg',
    'masks/abc.png',
    '一只-panda-x-7-2.webp',
    'easel-history.json',
  ])
  await clearStore()
  expect(await importImages(zip, nothingKnown)).toEqual({ added: 2, known: 0, unreadable: 0 })
  const [first, second] = await readImages()
  expect({ ...first, thumbnail: null }).toEqual({ ...IMAGE, thumbnail: null })
  expect(second).toMatchObject({ id: 'abc-1', seconds: null })
  expect(await first?.thumbnail.text()).toBe('thumbnail')
  expect(await (await readInput('init', 'abc'))?.text()).toBe('init image')
  const mask = await readInput('mask', 'abc')
  expect([await mask?.text(), mask?.type]).toEqual(['mask', 'image/png'])
  expect(await importImages(zip, () => true)).toEqual({ added: 0, known: 2, unreadable: 0 })
})

test.each([
  ['an id for another key', { id: '../abc' }],
  ['another media type', { mediaType: 'image/svg+xml' }],
  ['a missing prompt', { parameters: { ...PARAMETERS, prompt: undefined } }],
  ['a width that is no number', { parameters: { ...PARAMETERS, width: '64' } }],
  ['a file that does not exist', { file: 'other.webp' }],
  ['warnings that are no texts', { warnings: [1] }],
])('of a changed export, %s is not taken, and the other image is', async (_, change) => {
  const zip = await changedExport(({ images }) => Object.assign(images[0] ?? {}, change))
  expect(await importImages(zip, nothingKnown)).toEqual({ added: 1, known: 0, unreadable: 1 })
})

test('a file that is no image is not taken', async () => {
  const zip = await exportImages([IMAGE], () => Promise.resolve(new Blob(['no image'])))
  expect(await importImages(zip, nothingKnown)).toEqual({ added: 0, known: 0, unreadable: 1 })
})

test('other zip files, and what is none, are refused', async () => {
  await expect(importImages(new Blob(['x'.repeat(100)]), nothingKnown)).rejects.toThrow('not a zip file')
  await expect(importImages(new Blob([]), nothingKnown)).rejects.toThrow()
  await expect(importImages(await writeZip([]), nothingKnown)).rejects.toThrow()
  const next = await changedExport((manifest) => (manifest.version = 2))
  await expect(importImages(next, nothingKnown)).rejects.toThrow('version 1')
  const bytes = Buffer.from(await (await exportImages([IMAGE], file)).arrayBuffer())
  bytes[bytes.lastIndexOf('PK\u0001\u0002') + 10] = 8
  await expect(readZip(new Blob([bytes]))).rejects.toThrow('compressed')
})
