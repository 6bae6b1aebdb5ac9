import { createCanvas, encodeBase64, toBase64 } from '@/images/canvas'
import { decodedBytes, firstWithin, QUALITIES, SCALES } from '@/inpaint/encodeStart'
import type { EditImage } from './useEditImages'

const MEDIA_TYPES = ['image/png', 'image/webp', 'image/jpeg']

/**
 * Return the images in base64, in files of at most `maxBytes` together. A file goes as it is where it fits: what smaller
 * ones leave is for the others. Larger ones become JPEGs of at most `maxPixels`, more the model would not look at.
 */
export async function encodeImages(images: EditImage[], maxBytes: number, maxPixels: number): Promise<string[]> {
  const encoded = new Map<number, string>()
  let bytes = maxBytes
  for (const image of [...images].sort((a, b) => a.file.size - b.file.size)) {
    const text = await encode(image, Math.floor(bytes / (images.length - encoded.size)), maxPixels)
    encoded.set(image.key, text)
    bytes -= decodedBytes(text)
  }
  return images.map(({ key }) => encoded.get(key) ?? '')
}

async function encode({ file, size }: EditImage, maxBytes: number, maxPixels: number): Promise<string> {
  const isSmall = file.size <= maxBytes && size.width * size.height <= maxPixels
  if (isSmall && MEDIA_TYPES.includes(file.type)) return toBase64(file)
  const bitmap = await createImageBitmap(file)
  try {
    return firstWithin(maxBytes, encodings(bitmap, maxPixels))
  } finally {
    bitmap.close()
  }
}

/** JPEGs in base64, largest first. */
function* encodings(bitmap: ImageBitmap, maxPixels: number): Generator<string> {
  const fit = Math.min(1, Math.sqrt(maxPixels / (bitmap.width * bitmap.height)))
  for (const scale of SCALES) {
    const side = (length: number) => Math.max(1, Math.floor(length * fit * scale))
    const { canvas, context } = createCanvas(side(bitmap.width), side(bitmap.height))
    context.fillStyle = '#fff'
    context.fillRect(0, 0, canvas.width, canvas.height)
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
    for (const quality of QUALITIES) yield encodeBase64(canvas, 'image/jpeg', quality)
  }
}
