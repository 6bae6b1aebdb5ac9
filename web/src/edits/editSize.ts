import type { Model } from '@/api/types'
import type { ImageSize } from '@/images/canvas'

/** Sides that follow an image are multiples of this. */
const MULTIPLE = 16

/** Return the size that the API generates by default from its first image to look at. */
export function editSize({ width, height }: ImageSize, { sizes, defaults, bounds }: Model): ImageSize {
  const own = sizes[0] ?? defaults
  const pixels = Math.sqrt((own.width * own.height) / (width * height))
  const scale = Math.min(1, pixels, bounds.width.maximum / Math.max(width, height))
  const side = (length: number) =>
    Math.max(bounds.width.minimum, Math.floor(Math.floor(length * scale) / MULTIPLE) * MULTIPLE)
  return { width: side(width), height: side(height) }
}
