import { decodeText } from './decodeText'
import { addExifTexts } from './exif'
import { MAX_TEXT_BYTES, type Texts } from './storedParameters'
import { addXmpTexts } from './xmp'

const XMP_HEADER = 'http://ns.adobe.com/xap/1.0/\0'
const MAX_BOXES = 1000
const [APP1, COMMENT, START_OF_SCAN] = [0xe1, 0xfe, 0xda]

/** Add the texts of a WebP file. */
export function addWebpTexts(bytes: Uint8Array, texts: Texts) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true)
    const type = tag(bytes, at)
    const data = bytes.subarray(at + 8, at + 8 + size)
    if (['EXIF', 'XMP '].includes(type) && size > MAX_TEXT_BYTES) texts.set(type.trim(), null)
    else if (type === 'EXIF') addExifTexts(data, texts)
    else if (type === 'XMP ') addXmpTexts(decodeText(data), texts)
    at += 8 + size + (size % 2)
  }
}

/** Add the texts of a JPEG file. */
export function addJpegTexts(bytes: Uint8Array, texts: Texts) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== START_OF_SCAN;) {
    if (bytes[at + 1] === 0xff) {
      at++ // a fill byte
      continue
    }
    const size = view.getUint16(at + 2)
    const data = bytes.subarray(at + 4, at + 2 + size)
    if (bytes[at + 1] === COMMENT) texts.set('Comment', decodeText(data))
    if (bytes[at + 1] === APP1) addApp1Texts(data, texts)
    at += 2 + size
  }
}

/** Add the texts of an AVIF file: its items `Exif`, and of a MIME type (XMP), in the box `meta`. */
export function addAvifTexts(bytes: Uint8Array, texts: Texts) {
  const meta = boxes(bytes, 0).get('meta')
  const found = meta && boxes(meta, 4)
  const [list, places] = [found?.get('iinf'), found?.get('iloc')]
  if (!list || !places) return
  const offsets = itemPlaces(places)
  for (const [id, type] of itemTypes(list)) {
    const { start = 0, size = 0 } = offsets.get(id) ?? {}
    const data = bytes.subarray(start, start + size)
    if (size > MAX_TEXT_BYTES) texts.set(type.trim(), null)
    else if (type === 'Exif') addExifTexts(data.subarray(4), texts)
    else if (type === 'mime') addXmpTexts(decodeText(data), texts)
  }
}

/** Return the first box of each type. */
function boxes(bytes: Uint8Array, start: number): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = new Map<string, Uint8Array>()
  for (let at = start; at + 8 <= bytes.length && found.size < MAX_BOXES;) {
    const isLarge = view.getUint32(at) === 1
    const size = isLarge ? Number(view.getBigUint64(at + 8)) : view.getUint32(at) || bytes.length - at
    const type = tag(bytes, at + 4)
    if (!found.has(type)) found.set(type, bytes.subarray(at + (isLarge ? 16 : 8), at + size))
    at += Math.max(size, 8)
  }
  return found
}

/** Return the types of the items by id. */
function itemTypes(list: Uint8Array): Map<number, string> {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength)
  const types = new Map<number, string>()
  for (let at = list[0] ? 8 : 6; at + 20 <= list.length && types.size < MAX_BOXES;) {
    const isLong = list[at + 8] === 3 // the version of the entry
    types.set(isLong ? view.getUint32(at + 12) : view.getUint16(at + 12), tag(list, at + (isLong ? 18 : 16)))
    at += Math.max(view.getUint32(at), 8)
  }
  return types
}

/** Return the offsets and sizes in the file of the items with one part, by id. */
function itemPlaces(places: Uint8Array): Map<number, { start: number; size: number }> {
  const view = new DataView(places.buffer, places.byteOffset, places.byteLength)
  const version = places[0] ?? 0
  const [offsets, bases] = [places[4] ?? 0, places[5] ?? 0]
  let at = 6
  const take = (size: number) => {
    at += size
    return size === 8
      ? Number(view.getBigUint64(at - 8))
      : size === 4
        ? view.getUint32(at - 4)
        : size === 2
          ? view.getUint16(at - 2)
          : 0
  }
  const found = new Map<number, { start: number; size: number }>()
  for (let left = take(version < 2 ? 2 : 4); left > 0 && found.size < MAX_BOXES; left--) {
    const id = take(version < 2 ? 2 : 4)
    const method = version ? take(2) & 15 : 0
    take(2)
    const base = take(bases >> 4)
    const parts = take(2)
    for (let part = 0; part < parts; part++) {
      if (version) take(bases & 15)
      const [start, size] = [base + take(offsets >> 4), take(offsets & 15)]
      if (parts === 1 && !method) found.set(id, { start, size })
    }
  }
  return found
}

export function isAvif(bytes: Uint8Array): boolean {
  return tag(bytes, 4) === 'ftyp' && ['avif', 'avis', 'mif1'].includes(tag(bytes, 8))
}

export function isWebp(bytes: Uint8Array): boolean {
  return tag(bytes, 0) === 'RIFF' && tag(bytes, 8) === 'WEBP'
}

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8
}

function addApp1Texts(data: Uint8Array, texts: Texts) {
  if (tag(data, 0) === 'Exif') addExifTexts(data, texts)
  const header = decodeText(data.subarray(0, XMP_HEADER.length))
  if (header === XMP_HEADER) addXmpTexts(decodeText(data.subarray(XMP_HEADER.length)), texts)
}

function tag(bytes: Uint8Array, at: number): string {
  return decodeText(bytes.subarray(at, at + 4))
}
