import type { Parameters } from '@/api/types'
import { readUserComment } from './exif'
import { parseInfotext } from './infotext'
import { isPng, readPngText } from './png'

/** The parameters that a picture file carries; null where it carries none. */
export async function readParameters(file: Blob): Promise<Partial<Parameters> | null> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  const text = isPng(bytes) ? await readPngText(bytes, 'parameters') : readUserComment(bytes)
  return text ? parseInfotext(text) : null
}
