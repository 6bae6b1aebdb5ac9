/** Zip files whose entries are stored as they are: images are compressed already. */

export interface ZipEntry {
  name: string
  file: Blob
}

const LOCAL_SIGNATURE = 0x04034b50
const CENTRAL_SIGNATURE = 0x02014b50
const END_SIGNATURE = 0x06054b50
const LOCAL_BYTES = 30
const CENTRAL_BYTES = 46
const END_BYTES = 22
const MAX_COMMENT_BYTES = 0xffff
const VERSION = 20
/** Names are UTF-8. */
const UTF8_FLAG = 0x0800
/** Larger files and more entries need the zip64 format. */
const MAX_BYTES = 0xffffffff
const MAX_ENTRIES = 0xffff

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** Write a zip file. Throws RangeError above 4 GiB or 65,535 entries. */
export async function writeZip(entries: AsyncIterable<ZipEntry> | Iterable<ZipEntry>, now = new Date()): Promise<Blob> {
  const files: BlobPart[] = []
  const directory: Uint8Array<ArrayBuffer>[] = []
  let [bytes, directoryBytes] = [0, 0]
  for await (const { name, file } of entries) {
    const encodedName = new TextEncoder().encode(name)
    const fields = { size: file.size, crc: crc32(new Uint8Array(await file.arrayBuffer())), now, name: encodedName }
    const header = localHeader(fields)
    const record = centralHeader(fields, bytes)
    files.push(header, file)
    directory.push(record)
    bytes += header.length + file.size
    directoryBytes += record.length
    if (bytes + directoryBytes > MAX_BYTES || directory.length > MAX_ENTRIES)
      throw new RangeError('too large for a zip')
  }
  const end = endRecord(directory.length, directoryBytes, bytes)
  return new Blob([...files, ...directory, end], { type: 'application/zip' })
}

/** Return the entries of a zip file by name. Throws if it is damaged or an entry is compressed. */
export async function readZip(file: Blob): Promise<Map<string, Blob>> {
  const tail = await viewOf(file.slice(Math.max(0, file.size - END_BYTES - MAX_COMMENT_BYTES)))
  let at = tail.byteLength - END_BYTES
  while (at >= 0 && tail.getUint32(at, true) !== END_SIGNATURE) at--
  if (at < 0) throw new Error('not a zip file')
  const start = tail.getUint32(at + 16, true)
  const directory = await viewOf(file.slice(start, start + tail.getUint32(at + 12, true)))
  const entries = new Map<string, Blob>()
  for (let i = 0; i < directory.byteLength;) {
    if (directory.getUint32(i, true) !== CENTRAL_SIGNATURE) throw new Error('the directory of the zip file is damaged')
    if (directory.getUint16(i + 10, true) !== 0) throw new Error('an entry of the zip file is compressed')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => directory.getUint16(i + offset, true))
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, i + CENTRAL_BYTES, nameBytes))
    const [size, offset] = [directory.getUint32(i + 24, true), directory.getUint32(i + 42, true)]
    entries.set(name, await storedFile(file, offset, size))
    i += CENTRAL_BYTES + (nameBytes ?? 0) + (extraBytes ?? 0) + (commentBytes ?? 0)
  }
  return entries
}

async function storedFile(zip: Blob, offset: number, size: number): Promise<Blob> {
  const header = await viewOf(zip.slice(offset, offset + LOCAL_BYTES))
  if (header.getUint32(0, true) !== LOCAL_SIGNATURE) throw new Error('an entry of the zip file is damaged')
  const start = offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true)
  return zip.slice(start, start + size)
}

const viewOf = async (blob: Blob) => new DataView(await blob.arrayBuffer())

interface Fields {
  size: number
  crc: number
  now: Date
  name: Uint8Array
}

/** The fields that local and central headers share, from the flags to the length of extra fields. */
function writeCommon(view: DataView, at: number, { size, crc, now, name }: Fields) {
  view.setUint16(at, VERSION, true)
  view.setUint16(at + 2, UTF8_FLAG, true)
  view.setUint16(at + 6, (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1), true)
  view.setUint16(at + 8, ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate(), true)
  view.setUint32(at + 10, crc, true)
  view.setUint32(at + 14, size, true)
  view.setUint32(at + 18, size, true)
  view.setUint16(at + 22, name.length, true)
}

function localHeader(fields: Fields): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(LOCAL_BYTES + fields.name.length)
  const view = new DataView(header.buffer)
  view.setUint32(0, LOCAL_SIGNATURE, true)
  writeCommon(view, 4, fields)
  header.set(fields.name, LOCAL_BYTES)
  return header
}

function centralHeader(fields: Fields, offset: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(CENTRAL_BYTES + fields.name.length)
  const view = new DataView(header.buffer)
  view.setUint32(0, CENTRAL_SIGNATURE, true)
  view.setUint16(4, VERSION, true)
  writeCommon(view, 6, fields)
  view.setUint32(42, offset, true)
  header.set(fields.name, CENTRAL_BYTES)
  return header
}

function endRecord(count: number, directoryBytes: number, offset: number): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(END_BYTES)
  const view = new DataView(record.buffer)
  view.setUint32(0, END_SIGNATURE, true)
  view.setUint16(8, count, true)
  view.setUint16(10, count, true)
  view.setUint32(12, directoryBytes, true)
  view.setUint32(16, offset, true)
  return record
}
