import { decodeText, decodeUnicode, decodeUserComment } from './decodeText'
import type { Texts } from './storedParameters'

const EXIF_POINTER = 0x8769
/** Tags in which tools store parameters. ComfyUI's WebP has them in Make and Model, Fooocus' JPEG in MakerNote. */
const TAGS = new Map([
  [0x010e, 'ImageDescription'],
  [0x010f, 'Make'],
  [0x0110, 'Model'],
  [0x0131, 'Software'],
  [0x927c, 'MakerNote'],
  [0x9286, 'UserComment'],
  [0x9c9c, 'XPComment'],
])
const SHORT_VALUE_BYTES = 4
const MAX_ENTRIES = 1000
/** Bytes of a value by its type: BYTE, ASCII, UNDEFINED and what writers use by mistake have one. */
const TYPE_BYTES: Record<number, number> = { 3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8 }

/** Add the texts of an EXIF block, with or without its header. */
export function addExifTexts(block: Uint8Array, texts: Texts) {
  const tiff = decodeText(block.subarray(0, 4)) === 'Exif' ? block.subarray(6) : block
  if (tiff.length < 8) return
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength)
  const little = view.getUint16(0) === 0x4949
  const main = readDirectory(view, view.getUint32(4, little), little)
  const pointer = main.get(EXIF_POINTER)
  const inner = pointer === undefined ? [] : readDirectory(view, view.getUint32(pointer + 8, little), little)
  for (const [tag, entry] of [...main, ...inner]) {
    const name = TAGS.get(tag)
    const value = name && valueOf(tiff, view, entry, little)
    if (value) texts.set(name, decode(name, value, little))
  }
}

/** Return the offsets of a directory's entries by tag. */
function readDirectory(view: DataView, start: number, little: boolean): Map<number, number> {
  const entries = new Map<number, number>()
  if (start + 2 > view.byteLength) return entries
  const count = Math.min(view.getUint16(start, little), MAX_ENTRIES)
  for (let at = start + 2; at < start + 2 + count * 12 && at + 12 <= view.byteLength; at += 12) {
    entries.set(view.getUint16(at, little), at)
  }
  return entries
}

function valueOf(tiff: Uint8Array, view: DataView, entry: number, little: boolean): Uint8Array {
  const size = view.getUint32(entry + 4, little) * (TYPE_BYTES[view.getUint16(entry + 2, little)] ?? 1)
  const start = size <= SHORT_VALUE_BYTES ? entry + 8 : view.getUint32(entry + 8, little)
  return tiff.subarray(start, start + size)
}

function decode(name: string, value: Uint8Array, little: boolean): string {
  if (name === 'UserComment') return decodeUserComment(value, little)
  if (name === 'XPComment') return decodeUnicode(value, true)
  return decodeText(value).replace(/\0.*/s, '')
}
