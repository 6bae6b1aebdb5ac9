import { decodeText } from './decodeText'
import { addExifTexts } from './exif'
import { MAX_TEXT_BYTES, type Texts } from './storedParameters'
import { addXmpTexts } from './xmp'

const XMP_HEADER = 'http://ns.adobe.com/xap/1.0/\0'
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
