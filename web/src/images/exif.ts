const EXIF_POINTER = 0x8769
const USER_COMMENT = 0x9286
const CODE_BYTES = 8

const latin1 = new TextDecoder('latin1')
const utf8 = new TextDecoder()

/** Return the EXIF UserComment of a WebP or JPEG file. */
export function readUserComment(bytes: Uint8Array): string | null {
  const block = webpExif(bytes) ?? jpegExif(bytes)
  return block && userComment(block)
}

function webpExif(bytes: Uint8Array): Uint8Array | null {
  if (tag(bytes, 0) !== 'RIFF' || tag(bytes, 8) !== 'WEBP') return null
  const view = viewOf(bytes)
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true)
    if (tag(bytes, at) === 'EXIF') return withoutHeader(bytes.subarray(at + 8, at + 8 + size))
    at += 8 + size + (size % 2)
  }
  return null
}

function jpegExif(bytes: Uint8Array): Uint8Array | null {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null
  const view = viewOf(bytes)
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;) {
    const size = view.getUint16(at + 2)
    const data = bytes.subarray(at + 4, at + 2 + size)
    if (bytes[at + 1] === 0xe1 && tag(data, 0) === 'Exif') return withoutHeader(data)
    at += 2 + size
  }
  return null
}

function withoutHeader(data: Uint8Array): Uint8Array {
  return tag(data, 0) === 'Exif' ? data.subarray(6) : data
}

function userComment(tiff: Uint8Array): string | null {
  const view = viewOf(tiff)
  if (tiff.length < 8) return null
  const little = view.getUint16(0) === 0x4949
  const pointer = findEntry(view, view.getUint32(4, little), EXIF_POINTER, little)
  const comment = pointer && findEntry(view, view.getUint32(pointer + 8, little), USER_COMMENT, little)
  if (!comment) return null
  const size = view.getUint32(comment + 4, little)
  const start = view.getUint32(comment + 8, little)
  return decode(tiff.subarray(start, start + size))
}

/** Return the offset of the entry `wantedTag` in the directory at `directory`, or 0 if there is none. */
function findEntry(view: DataView, directory: number, wantedTag: number, little: boolean): number {
  if (directory + 2 > view.byteLength) return 0
  const count = view.getUint16(directory, little)
  for (let at = directory + 2; at < directory + 2 + count * 12 && at + 12 <= view.byteLength; at += 12) {
    if (view.getUint16(at, little) === wantedTag) return at
  }
  return 0
}

/** A1111 always writes big-endian UTF-16; other tools follow the byte order of the block. */
function decode(comment: Uint8Array): string {
  const text = comment.subarray(CODE_BYTES)
  if (!latin1.decode(comment.subarray(0, CODE_BYTES)).startsWith('UNICODE'))
    return utf8.decode(text).replace(/\0+$/, '')
  const littleEndian = new TextDecoder('utf-16le').decode(text)
  return littleEndian.includes('Steps: ') ? littleEndian : new TextDecoder('utf-16be').decode(text)
}

function tag(bytes: Uint8Array, at: number): string {
  return latin1.decode(bytes.subarray(at, at + 4))
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
