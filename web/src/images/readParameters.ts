import type { Parameters } from '@/api/types'
import { readUserComment } from './exif'
import { parseInfotext } from './infotext'
import { isPng, readPngText } from './png'

/** Return the generation parameters stored in an image file, or null if it has none. */
export async function readParameters(file: Blob): Promise<Partial<Parameters> | null> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  const text = isPng(bytes) ? await readPngText(bytes, 'parameters') : readUserComment(bytes)
  return text ? parseInfotext(text) : null
}
