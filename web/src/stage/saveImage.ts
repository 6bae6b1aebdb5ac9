import type { HistoryImage } from '@/history/imageStore'
import { createCanvas, encodeCanvas } from '@/images/canvas'

const MAX_NAME_CHARACTERS = 40

interface Files {
  file(id: string): Promise<Blob | undefined>
}

/** Download the file as the model made it. Encoding it again would lose the parameters inside. */
export async function downloadImage(files: Files, image: HistoryImage | null): Promise<void> {
  const file = image && (await files.file(image.id))
  if (file) saveFile(file, imageName(image))
}

export function saveFile(file: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  URL.revokeObjectURL(link.href)
}

/** A file name with the start of the prompt and the seed. */
export function imageName({ parameters, mediaType }: Pick<HistoryImage, 'parameters' | 'mediaType'>): string {
  const [, extension = ''] = mediaType.split('/')
  return `${fileName(parameters.prompt)}-${parameters.seed}.${extension}`
}

function fileName(prompt: string): string {
  const words = prompt.replace(/[^\p{Letter}\p{Number}]+/gu, '-').replace(/^-|-$/g, '')
  return Array.from(words).slice(0, MAX_NAME_CHARACTERS).join('') || 'image'
}

/** Copy text to the clipboard. Over plain HTTP from another machine, browsers have only the old command for it. */
export async function copyText(text: string): Promise<void> {
  if (isSecureContext) return navigator.clipboard.writeText(text)
  const area = Object.assign(document.createElement('textarea'), { value: text })
  document.body.append(area)
  area.select()
  const copied = document.execCommand('copy') // eslint-disable-line @typescript-eslint/no-deprecated
  area.remove()
  if (!copied) throw new Error('The browser copies nothing')
}

/** Copy an image to the clipboard as PNG, the only format that browsers accept there. */
export async function copyImage(file: Blob): Promise<void> {
  const png = file.type === 'image/png' ? file : toPng(file)
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })])
}

async function toPng(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file)
  const { canvas, context } = createCanvas(bitmap.width, bitmap.height)
  context.drawImage(bitmap, 0, 0)
  bitmap.close()
  const png = await encodeCanvas(canvas, 'image/png')
  if (!png) throw new Error('The browser cannot encode PNG')
  return png
}
