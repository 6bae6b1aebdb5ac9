import { coverPlacement, createCanvas, encodeBase64, type ImageSize } from '@/images/canvas'
import type { Start } from '@/request/draft'
import { hasMask, type Edit } from './edit'
import { encodeMask, readBase } from './paintMask'

export const QUALITIES = [0.92, 0.8, 0.6]
export const SCALES = [1, 0.7, 0.5, 0.35, 0.25, 0.125]

/** The mask marks nothing. */
export class EmptyMaskError extends Error {}

export interface StartImages {
  init_image: string
  mask_image?: string
}

/**
 * Crop and scale the init image to `size`, and paint its mask: both in base64, in files of at most `maxBytes` together.
 * If a part is to stay as it is, the image is a PNG, else a JPEG. If necessary it is a JPEG with fewer pixels; the API
 * scales it up again. Throws EmptyMaskError, and others if the file is not an image.
 */
export async function encodeStart(
  file: Blob,
  edit: Edit | null,
  size: ImageSize,
  maxBytes: number,
): Promise<StartImages> {
  const bitmap = await createImageBitmap(file)
  try {
    const mask = edit && hasMask(edit) ? encodeMask(edit, await readBase(edit), bitmap, size) : ''
    if (mask === null) throw new EmptyMaskError()
    const init_image = firstWithin(maxBytes - decodedBytes(mask), encodings(bitmap, size, edit !== null))
    return { init_image, ...(mask && { mask_image: mask }) }
  } finally {
    bitmap.close()
  }
}

/** Whether the encoded init image has exactly the pixels of the file. */
export function isLossless({ init_image }: StartImages): boolean {
  return init_image.startsWith('iVBOR')
}

/** The fields of a request that an encoded start has; `images`: the images to look at. */
export type EncodedStart = Start & { images: StartImages | { images: string[] } }

/** Return the first base64 text of at most `maxBytes` bytes. Throws RangeError if all are larger. */
export function firstWithin(maxBytes: number, encoded: Iterable<string>): string {
  for (const base64 of encoded) if (decodedBytes(base64) <= maxBytes) return base64
  throw new RangeError(`no encoding has at most ${maxBytes} bytes`)
}

export function decodedBytes(base64: string): number {
  return (base64.length / 4) * 3 - (/=*$/.exec(base64)?.[0].length ?? 0)
}

/** Images in base64, largest first: a PNG where it is wanted, then JPEGs of each size in all qualities. */
function* encodings(bitmap: ImageBitmap, { width, height }: ImageSize, lossless: boolean): Generator<string> {
  for (const scale of SCALES) {
    const canvas = cover(bitmap, Math.round(width * scale), Math.round(height * scale))
    if (lossless && scale === 1) yield encodeBase64(canvas, 'image/png')
    for (const quality of QUALITIES) yield encodeBase64(canvas, 'image/jpeg', quality)
  }
}

/** Paint the image so that it covers a canvas of width × height, centred, on white. */
function cover(bitmap: ImageBitmap, width: number, height: number): HTMLCanvasElement {
  const { scale, x, y } = coverPlacement(bitmap, width, height)
  const { canvas, context } = createCanvas(width, height)
  context.fillStyle = '#fff'
  context.fillRect(0, 0, width, height)
  context.drawImage(bitmap, x, y, bitmap.width * scale, bitmap.height * scale)
  return canvas
}
