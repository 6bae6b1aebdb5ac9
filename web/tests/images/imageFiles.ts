import { deflateSync } from 'node:zlib'

const latin1 = (text: string) => Buffer.from(text, 'latin1')
const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A PNG of these chunks. Readers of metadata do not look at the checksums. */
export function png(...chunks: [type: string, data: Buffer][]): Blob {
  const parts = chunks.flatMap(([type, data]) => [uint32(data.length), latin1(type), data, uint32(0)])
  return new Blob([new Uint8Array(Buffer.concat([latin1('\x89PNG\r\n\x1a\n'), ...parts]))])
}

export function textChunk(keyword: string, text: string): [type: string, data: Buffer] {
  return ['iTXt', Buffer.concat([latin1(`${keyword}\0\0\0\0\0`), Buffer.from(text)])]
}

export function compressedChunk(keyword: string, text: Buffer): [type: string, data: Buffer] {
  return ['zTXt', Buffer.concat([latin1(`${keyword}\0\0`), deflateSync(text, { level: 9 })])]
}

export function textPng(texts: Record<string, string>): Blob {
  return png(...Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text)))
}

interface Entry {
  tag: number
  type: number
  value: Buffer
}

/** An EXIF block whose first directory has these entries. */
export function exif(entries: Entry[], littleEndian = false): Buffer {
  const head = 8 + 2 + entries.length * 12 + 4
  const block = Buffer.alloc(head)
  const write = (value: number, at: number, size: 2 | 4) =>
    littleEndian ? block.writeUIntLE(value, at, size) : block.writeUIntBE(value, at, size)
  block.write(littleEndian ? 'II*\0' : 'MM\0*', 0, 'latin1')
  write(8, 4, 4)
  write(entries.length, 8, 2)
  let start = head
  entries.forEach(({ tag, type, value }, i) => {
    const at = 10 + i * 12
    write(tag, at, 2)
    write(type, at + 2, 2)
    write(value.length, at + 4, 4)
    if (value.length <= 4) value.copy(block, at + 8)
    else write(start, at + 8, 4)
    start += value.length
  })
  return Buffer.concat([block, ...entries.map(({ value }) => value)])
}

export function jpeg(...segments: [marker: number, data: Buffer][]): Blob {
  const parts = segments.flatMap(([marker, data]) => {
    const size = data.length + 2
    return [Buffer.from([0xff, marker, size >> 8, size & 0xff]), data]
  })
  return new Blob([new Uint8Array(Buffer.concat([Buffer.from([0xff, 0xd8]), ...parts, Buffer.from([0xff, 0xda])]))])
}

export function webp(type: string, data: Buffer): Blob {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(data.length)
  return new Blob([new Uint8Array(Buffer.concat([latin1('RIFF\0\0\0\0WEBP'), latin1(type), size, data]))])
}
