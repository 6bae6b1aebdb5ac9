import { decodeText } from './decodeText'
import { addExifTexts } from './exif'
import { MAX_TEXT_BYTES, type Texts } from './storedParameters'
import { addXmpTexts } from './xmp'

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
const XMP_KEYWORD = 'XML:com.adobe.xmp'
const MAX_KEYWORD_BYTES = 79
const MAX_TEXTS = 32

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte)
}

/** Add the texts of the tEXt, zTXt, iTXt and eXIf chunks by keyword. A text that is too large is null. */
export async function addPngTexts(bytes: Uint8Array, texts: Texts) {
  const keywords = new Set<string>()
  for (const [type, data] of chunks(bytes)) {
    if (type === 'eXIf') addExifTexts(data, texts)
    const end = data.subarray(0, MAX_KEYWORD_BYTES + 1).indexOf(0)
    if (!['tEXt', 'zTXt', 'iTXt'].includes(type) || end < 1) continue
    const keyword = decodeText(data.subarray(0, end))
    if (keywords.has(keyword) || keywords.size >= MAX_TEXTS) continue
    keywords.add(keyword)
    const text = await textOf(type, data.subarray(end + 1)).catch(() => '')
    if (text && keyword === XMP_KEYWORD) addXmpTexts(text, texts)
    else texts.set(keyword, text)
  }
}

export function* chunks(bytes: Uint8Array): Generator<[type: string, data: Uint8Array]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = SIGNATURE.length
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at)
    yield [decodeText(bytes.subarray(at + 4, at + 8)), bytes.subarray(at + 8, at + 8 + length)]
    at += 12 + length
  }
}

/** Return the text after the keyword and its zero, or null if it is too large. */
async function textOf(type: string, data: Uint8Array): Promise<string | null> {
  if (type === 'iTXt') return internationalText(data)
  const text = type === 'zTXt' ? await inflate(data.subarray(1)) : data
  return text && text.length <= MAX_TEXT_BYTES ? decodeText(text) : null
}

/** The layout after the keyword: compression flag, method, language, 0, translated keyword, 0, UTF-8 text. */
async function internationalText(data: Uint8Array): Promise<string | null> {
  const languageEnd = data.indexOf(0, 2)
  const keywordEnd = data.indexOf(0, languageEnd + 1)
  const stored = data.subarray(keywordEnd + 1)
  const text = data[0] ? await inflate(stored) : stored
  return text && text.length <= MAX_TEXT_BYTES ? decodeText(text) : null
}

/** Inflate until the limit, or return null above it. */
export async function inflate(bytes: Uint8Array, format: CompressionFormat = 'deflate'): Promise<Uint8Array | null> {
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream(format))
  const reader = stream.getReader()
  const parts: BlobPart[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer())
    length += value.length
    parts.push(value.slice())
    if (length > MAX_TEXT_BYTES) {
      await reader.cancel()
      return null
    }
  }
}
