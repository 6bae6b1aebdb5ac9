import type { Picture } from './history'

const NAME_CHARACTERS = 40

/** The file as the model made it: drawing it again would lose the parameters inside. */
export function download(file: Blob, { parameters, mediaType }: Picture): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = `${fileName(parameters.prompt)}-${parameters.seed}.${mediaType.split('/')[1]}`
  link.click()
  URL.revokeObjectURL(link.href)
}

function fileName(prompt: string): string {
  const words = prompt.replace(/[^\p{Letter}\p{Number}]+/gu, '-').replace(/^-|-$/g, '')
  return [...words].slice(0, NAME_CHARACTERS).join('') || 'picture'
}

/** Browsers put only PNG on the clipboard. */
export async function copyPicture(file: Blob): Promise<void> {
  const png = file.type === 'image/png' ? file : toPng(file)
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })])
}

async function toPng(file: Blob): Promise<Blob> {
  const picture = await createImageBitmap(file)
  const canvas = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height })
  canvas.getContext('2d')!.drawImage(picture, 0, 0)
  return new Promise((resolve, reject) => canvas.toBlob((png) => (png ? resolve(png) : reject(new Error('no PNG'))), 'image/png'))
}
