import { coverPlacement, createCanvas, encodeBase64, toFile, type ImageSize } from '@/images/canvas'
import type { Edit, MaskStep } from './edit'

const OPAQUE = 128
/** Longest side of the mask that is counted. */
const COUNTED_SIDE = 128

/** Read the mask that the steps of an edit are painted on; null if there is none. It is opaque where it is white. */
export async function readBase({ base }: Pick<Edit, 'base'>): Promise<HTMLCanvasElement | null> {
  if (!base) return null
  const bitmap = await createImageBitmap(toFile(base))
  const { canvas, context } = createCanvas(bitmap.width, bitmap.height)
  context.drawImage(bitmap, 0, 0)
  bitmap.close()
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height)
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i] ?? 0
  context.putImageData(pixels, 0, 0)
  return canvas
}

/** Paint a step over what is painted. The context's transformation is that of the image. */
export function paintStep(context: CanvasRenderingContext2D, step: MaskStep) {
  const { width, height } = context.canvas
  context.save()
  if (step.kind === 'stroke') {
    const [x = 0, y = 0, ...others] = step.points
    context.globalCompositeOperation = step.erases ? 'destination-out' : 'source-over'
    Object.assign(context, { lineCap: 'round', lineJoin: 'round', lineWidth: 2 * step.radius })
    context.beginPath()
    context.moveTo(x, y)
    // A line without length would not be painted everywhere.
    if (!others.length) context.lineTo(x + 0.01, y)
    for (let i = 0; i < others.length; i += 2) context.lineTo(others[i] ?? 0, others[i + 1] ?? 0)
    context.stroke()
  } else {
    context.resetTransform()
    context.globalCompositeOperation = 'xor'
    if (step.kind === 'clear') context.clearRect(0, 0, width, height)
    else context.fillRect(0, 0, width, height)
  }
  context.restore()
}

/** Paint the mask of an image that covers the canvas. The context keeps the colour and the image's transformation. */
export function paintMask(
  context: CanvasRenderingContext2D,
  edit: Edit,
  base: HTMLCanvasElement | null,
  image: ImageSize,
  colour: string | CanvasPattern = '#fff',
) {
  const { width, height } = context.canvas
  const { scale, x, y } = coverPlacement(image, width, height)
  context.resetTransform()
  context.clearRect(0, 0, width, height)
  Object.assign(context, { fillStyle: colour, strokeStyle: colour })
  context.setTransform(scale, 0, 0, scale, x, y)
  if (base) context.drawImage(base, 0, 0, image.width, image.height)
  for (const step of edit.steps) paintStep(context, step)
  colourMask(context)
}

/** Give everything that is painted the context's colour, also where the image's transformation moves its pattern. */
export function colourMask(context: CanvasRenderingContext2D) {
  context.save()
  context.resetTransform()
  context.globalCompositeOperation = 'source-in'
  context.fillRect(0, 0, context.canvas.width, context.canvas.height)
  context.restore()
}

/** Return the part of width × height that is marked, 0 to 1. */
export function markedShare(
  edit: Edit,
  base: HTMLCanvasElement | null,
  image: ImageSize,
  { width, height }: ImageSize,
): number {
  const scale = Math.min(1, COUNTED_SIDE / Math.max(width, height))
  const { context, canvas } = createCanvas(Math.ceil(width * scale), Math.ceil(height * scale))
  paintMask(context, edit, base, image)
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height)
  return data.filter((value, i) => i % 4 === 3 && value >= OPAQUE).length / (canvas.width * canvas.height)
}

/** Return a mask of width × height as a PNG in base64, white where it is set and black elsewhere; null if nowhere. */
export function encodeMask(
  edit: Edit,
  base: HTMLCanvasElement | null,
  image: ImageSize,
  { width, height }: ImageSize,
): string | null {
  const { context, canvas } = createCanvas(width, height)
  paintMask(context, edit, base, image)
  const pixels = context.getImageData(0, 0, width, height)
  let isEmpty = true
  for (let i = 0; i < pixels.data.length; i += 4) {
    const isMarked = (pixels.data[i + 3] ?? 0) >= OPAQUE
    if (isMarked) isEmpty = false
    pixels.data.fill(isMarked ? 255 : 0, i, i + 3)
    pixels.data[i + 3] = 255
  }
  context.putImageData(pixels, 0, 0)
  return isEmpty ? null : encodeBase64(canvas, 'image/png')
}
