const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
const latin1 = new TextDecoder('latin1')
const utf8 = new TextDecoder()

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte)
}

/** Return the text stored under `keyword` in a tEXt, zTXt or iTXt chunk. */
export async function readPngText(bytes: Uint8Array, keyword: string): Promise<string | null> {
  for (const [type, data] of chunks(bytes)) {
    const end = data.indexOf(0)
    if (end < 1 || latin1.decode(data.subarray(0, end)) !== keyword) continue
    const rest = data.subarray(end + 1)
    if (type === 'tEXt') return latin1.decode(rest)
    if (type === 'zTXt') return latin1.decode(await inflate(rest.subarray(1)))
    if (type === 'iTXt') return internationalText(rest)
  }
  return null
}

function* chunks(bytes: Uint8Array): Generator<[type: string, data: Uint8Array]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = SIGNATURE.length
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at)
    yield [latin1.decode(bytes.subarray(at + 4, at + 8)), bytes.subarray(at + 8, at + 8 + length)]
    at += 12 + length
  }
}

/** The layout after the keyword: compression flag, method, language, 0, translated keyword, 0, UTF-8 text. */
async function internationalText(data: Uint8Array): Promise<string> {
  const languageEnd = data.indexOf(0, 2)
  const keywordEnd = data.indexOf(0, languageEnd + 1)
  const text = data.subarray(keywordEnd + 1)
  return utf8.decode(data[0] ? await inflate(text) : text)
}

async function inflate(bytes: Uint8Array): Promise<ArrayBuffer> {
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream('deflate'))
  return new Response(stream).arrayBuffer()
}
