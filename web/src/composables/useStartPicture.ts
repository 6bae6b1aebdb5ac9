import { useObjectUrl } from '@vueuse/core'
import { shallowRef } from 'vue'

const QUALITIES = [0.92, 0.8, 0.6]

/** The picture that image to image starts from, cut and scaled to the size that is asked for. */
export function useStartPicture() {
  const file = shallowRef<Blob | null>(null)
  const url = useObjectUrl(file)

  /** base64 of at most `bytes`, wherever a quality allows it. Throws where the file is no picture. */
  async function encode(width: number, height: number, bytes: number): Promise<string> {
    const canvas = await cover(file.value!, width, height)
    return bestWithin(bytes, QUALITIES.map((quality) => canvas.toDataURL('image/jpeg', quality).split(',')[1]!))
  }

  return { file, url, encode }
}

/** The first file of at most `bytes`, best first; else the smallest, for the API to refuse. */
export function bestWithin(bytes: number, files: string[]): string {
  return files.find((base64) => decodedBytes(base64) <= bytes) ?? files.at(-1)!
}

export function decodedBytes(base64: string): number {
  return (base64.length / 4) * 3 - (/=*$/.exec(base64)?.[0].length ?? 0)
}

async function cover(file: Blob, width: number, height: number): Promise<HTMLCanvasElement> {
  const picture = await createImageBitmap(file)
  const scale = Math.max(width / picture.width, height / picture.height)
  const [wide, high] = [picture.width * scale, picture.height * scale]
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const context = canvas.getContext('2d')!
  context.fillStyle = '#fff'
  context.fillRect(0, 0, width, height)
  context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high)
  picture.close()
  return canvas
}
