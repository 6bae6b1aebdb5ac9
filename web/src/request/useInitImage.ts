import { useObjectUrl } from '@vueuse/core'
import { shallowRef } from 'vue'
import { createCanvas } from '@/images/canvas'

const QUALITIES = [0.92, 0.8, 0.6]
const SCALES = [1, 0.7, 0.5, 0.35, 0.25, 0.125]

/** The init image of image-to-image. */
export function useInitImage() {
  const file = shallowRef<Blob | null>(null)
  const url = useObjectUrl(file)

  /**
   * Crop and scale the image to width × height and encode it as a JPEG of at most `maxBytes`, in base64.
   * If necessary it has fewer pixels; the API scales it up again. Throws if the file is not an image.
   */
  async function encode(image: Blob, width: number, height: number, maxBytes: number): Promise<string> {
    const bitmap = await createImageBitmap(image)
    try {
      return firstWithin(maxBytes, encodings(bitmap, width, height))
    } finally {
      bitmap.close()
    }
  }

  return { file, url, encode }
}

/** Return the first base64 text of at most `maxBytes` bytes. Throws RangeError if all are larger. */
export function firstWithin(maxBytes: number, encoded: Iterable<string>): string {
  for (const base64 of encoded) if (decodedBytes(base64) <= maxBytes) return base64
  throw new RangeError(`no encoding has at most ${maxBytes} bytes`)
}

export function decodedBytes(base64: string): number {
  return (base64.length / 4) * 3 - (/=*$/.exec(base64)?.[0].length ?? 0)
}

/** JPEGs in base64, largest first: each size in all qualities, then the next smaller size. */
function* encodings(bitmap: ImageBitmap, width: number, height: number): Generator<string> {
  for (const scale of SCALES) {
    const canvas = cover(bitmap, Math.round(width * scale), Math.round(height * scale))
    for (const quality of QUALITIES) {
      const [, base64 = ''] = canvas.toDataURL('image/jpeg', quality).split(',')
      yield base64
    }
  }
}

/** Paint the image so that it covers a canvas of width × height, centred, on white. */
function cover(bitmap: ImageBitmap, width: number, height: number): HTMLCanvasElement {
  const scale = Math.max(width / bitmap.width, height / bitmap.height)
  const [scaledWidth, scaledHeight] = [bitmap.width * scale, bitmap.height * scale]
  const { canvas, context } = createCanvas(width, height)
  context.fillStyle = '#fff'
  context.fillRect(0, 0, width, height)
  context.drawImage(bitmap, (width - scaledWidth) / 2, (height - scaledHeight) / 2, scaledWidth, scaledHeight)
  return canvas
}

/** The JPEG file of a base64 text. */
export function toFile(base64: string): Blob {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  return new Blob([bytes], { type: 'image/jpeg' })
}
