const latin1 = new TextDecoder('latin1')
const CODE_BYTES = 8

/** Decode UTF-8, or Latin-1 if the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  return decodeExactly('utf-8', bytes) ?? latin1.decode(bytes)
}

/** Decode an EXIF UserComment: 8 bytes that name the character code, then text. Some tools leave out the code. */
export function decodeUserComment(bytes: Uint8Array, littleEndian: boolean): string {
  const code = latin1.decode(bytes.subarray(0, CODE_BYTES))
  const text = bytes.subarray(CODE_BYTES)
  if (code === 'UNICODE\0' || code === 'Unicode\0') return decodeUnicode(text, littleEndian)
  if (code === 'JIS\0\0\0\0\0') return decodeJis(text)
  if (code === 'ASCII\0\0\0' || code === '\0'.repeat(CODE_BYTES)) return trimNuls(decodeUnknown(text, littleEndian))
  return trimNuls(decodeUnknown(bytes, littleEndian))
}

/** Decode UTF-16. A1111 always writes big-endian; other tools follow the byte order of the block, or write a mark. */
export function decodeUnicode(bytes: Uint8Array, littleEndian: boolean): string {
  const { even, odd } = countZeros(bytes)
  if (!even && !odd) {
    const text = decodeExactly('utf-8', bytes)
    if (text !== null) return trimNuls(text)
  }
  const [first, second] = bytes
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
  const isLittle = isMarked ? first === 0xff : even === odd ? littleEndian : odd > even
  return trimNuls(new TextDecoder(isLittle ? 'utf-16le' : 'utf-16be').decode(bytes))
}

/** Decode text whose code is not named. ASCII in UTF-16 has a zero in every second byte. */
function decodeUnknown(bytes: Uint8Array, littleEndian: boolean): string {
  const { even, odd } = countZeros(bytes.subarray(0, lengthWithoutNuls(bytes)))
  const isMarked = bytes.length > 1 && [0xfffe, 0xfeff].includes(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0))
  return isMarked || even || odd ? decodeUnicode(bytes, littleEndian) : decodeText(bytes)
}

function decodeJis(bytes: Uint8Array): string {
  const codes = bytes.includes(0x1b) ? ['iso-2022-jp'] : ['utf-8', 'euc-jp', 'shift_jis']
  for (const code of codes) {
    const text = decodeExactly(code, bytes)
    if (text !== null) return trimNuls(text)
  }
  return trimNuls(decodeText(bytes))
}

function countZeros(bytes: Uint8Array): { even: number; odd: number } {
  const zeros = [0, 0]
  bytes.forEach((byte, i) => {
    if (byte === 0) zeros[i % 2] = (zeros[i % 2] ?? 0) + 1
  })
  return { even: zeros[0] ?? 0, odd: zeros[1] ?? 0 }
}

function decodeExactly(code: string, bytes: Uint8Array): string | null {
  try {
    return new TextDecoder(code, { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}

function lengthWithoutNuls(bytes: Uint8Array): number {
  let length = bytes.length
  while (length && bytes[length - 1] === 0) length--
  return length
}

function trimNuls(text: string): string {
  let end = text.length
  while (text.charCodeAt(end - 1) === 0) end--
  return text.slice(0, end)
}
