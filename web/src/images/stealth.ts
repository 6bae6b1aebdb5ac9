import { chunks, inflate } from './png'
import { MAX_TEXT_BYTES } from './storedParameters'

const MAGICS = ['stealth_pnginfo', 'stealth_pngcomp']
const MAGIC_BYTES = 15
const HEADER_BYTES = MAGIC_BYTES + 4
const PIXEL_BYTES = 4
const MAX_PIXELS = 2 ** 25
const MAX_BYTES = 256 * 2 ** 10
const [DEPTH, RGBA] = [8, 6]

/**
 * Return the text in the alpha channel of a PNG, or null. NovelAI hides the parameters there, one bit a pixel, column
 * by column from the left: a name, the length in bits, and the text, which may be compressed.
 */
export async function readStealthText(bytes: Uint8Array): Promise<string | null> {
  const found = [...chunks(bytes)]
  const header = found.find(([type]) => type === 'IHDR')?.[1]
  if (!header || header.length < 13) return null
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const [width, height] = [view.getUint32(0), view.getUint32(4)]
  if (header[8] !== DEPTH || header[9] !== RGBA || header[12] !== 0 || width * height > MAX_PIXELS) return null
  const columns = Math.min(width, Math.ceil((MAX_BYTES * 8) / height))
  const data = new Blob(found.filter(([type]) => type === 'IDAT').map(([, part]) => part.slice()))
  const hidden = await readBits(data, width, height, columns)
  if (!hidden || !isMagic(hidden)) return null
  const size = new DataView(hidden.buffer).getUint32(MAGIC_BYTES) / 8
  const text = hidden.subarray(HEADER_BYTES, HEADER_BYTES + size)
  if (text.length < size) return null
  const plain = hidden[MAGIC_BYTES - 1] === 'o'.charCodeAt(0) ? text : await inflate(text, 'gzip')
  return plain && plain.length <= MAX_TEXT_BYTES ? new TextDecoder().decode(plain) : null
}

/** Return the lowest bits of the alpha channel in the first columns. Null as soon as they begin with no known name. */
async function readBits(data: Blob, width: number, height: number, columns: number): Promise<Uint8Array | null> {
  const bits = new Uint8Array(Math.ceil((columns * height) / 8))
  let y = 0
  for await (const row of rows(data, 1 + width * PIXEL_BYTES, 1 + columns * PIXEL_BYTES)) {
    for (let x = 0; x < columns; x++) {
      const at = x * height + y
      const bit = (row[x * PIXEL_BYTES + PIXEL_BYTES] ?? 0) & 1
      bits[at >> 3] = (bits[at >> 3] ?? 0) | (bit << (7 - (at & 7)))
    }
    y++
    if (y === MAGIC_BYTES * 8 && !isMagic(bits)) return null
    if (y === height) return bits
  }
  return null
}

/** Yield the first bytes of each row, without their filter. The array is used again. */
async function* rows(data: Blob, rowBytes: number, keptBytes: number): AsyncGenerator<Uint8Array> {
  const reader = data.stream().pipeThrough(new DecompressionStream('deflate')).getReader()
  let [row, above] = [new Uint8Array(keptBytes), new Uint8Array(keptBytes)]
  try {
    for (let at = 0; ;) {
      const { done, value } = await reader.read()
      if (done) return
      for (let start = 0; start < value.length;) {
        const part = value.subarray(start, start + rowBytes - at)
        if (at < keptBytes) row.set(part.subarray(0, keptBytes - at), at)
        start += part.length
        at += part.length
        if (at < rowBytes) continue
        removeFilter(row, above)
        yield row
        ;[row, above, at] = [above, row, 0]
      }
    }
  } finally {
    await reader.cancel()
  }
}

/** Undo the filter of a row, which its first byte names: none, left, above, their mean, or Paeth's choice. */
function removeFilter(row: Uint8Array, above: Uint8Array) {
  const filter = row[0] ?? 0
  for (let i = 1; i < row.length && filter; i++) {
    const hasLeft = i > PIXEL_BYTES
    const left = hasLeft ? (row[i - PIXEL_BYTES] ?? 0) : 0
    const up = above[i] ?? 0
    const corner = hasLeft ? (above[i - PIXEL_BYTES] ?? 0) : 0
    const guess = filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner)
    row[i] = (row[i] ?? 0) + guess
  }
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
  if (toLeft <= toUp && toLeft <= toCorner) return left
  return toUp <= toCorner ? up : corner
}

function isMagic(bytes: Uint8Array): boolean {
  return MAGICS.includes(String.fromCharCode(...bytes.subarray(0, MAGIC_BYTES)))
}
