export interface ImageSize {
  width: number
  height: number
}

/** Pixels of a side that are cut off rather than scaled away: sizes are multiples of 8. */
const CUT = 7

/** Return a canvas of the given size and its 2D context. Throws if the browser has no 2D canvas. */
export function createCanvas(
  width: number,
  height: number,
): { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D } {
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const context = canvas.getContext('2d')
  if (!context) throw new Error('The browser has no 2D canvas')
  return { canvas, context }
}

/** Encode a canvas, or return null if the browser cannot encode it. */
export function encodeCanvas(canvas: HTMLCanvasElement, mediaType: string, quality?: number): Promise<Blob | null> {
  return new Promise((resolve) => {
    canvas.toBlob(resolve, mediaType, quality)
  })
}

/** Encode a canvas as base64. */
export function encodeBase64(canvas: HTMLCanvasElement, mediaType: string, quality?: number): string {
  return canvas.toDataURL(mediaType, quality).split(',')[1] ?? ''
}

const MEDIA_TYPES = [
  ['iVBOR', 'image/png'],
  ['UklGR', 'image/webp'],
] as const

/** Return the PNG, WebP or JPEG file of a base64 text. */
export function toFile(base64: string): Blob {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  return new Blob([bytes], { type: MEDIA_TYPES.find(([start]) => base64.startsWith(start))?.[1] ?? 'image/jpeg' })
}

/** Return the base64 text of a file. */
export async function toBase64(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}

/** Return the scale and the place by which an image covers width × height, centred. */
export function coverPlacement(image: ImageSize, width: number, height: number) {
  const [more, higher] = [image.width - width, image.height - height]
  const isCut = Math.min(more, higher) >= 0 && Math.max(more, higher) <= CUT
  if (isCut) return { scale: 1, x: -Math.floor(more / 2), y: -Math.floor(higher / 2) }
  const scale = Math.max(width / image.width, height / image.height)
  return { scale, x: (width - image.width * scale) / 2, y: (height - image.height * scale) / 2 }
}
