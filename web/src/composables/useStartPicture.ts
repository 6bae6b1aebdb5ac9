import { useObjectUrl } from '@vueuse/core'
import { shallowRef } from 'vue'

const QUALITY = 0.92

/** The picture that image to image starts from, cut and scaled to the size that is asked for. */
export function useStartPicture() {
  const file = shallowRef<Blob | null>(null)
  const url = useObjectUrl(file)

  async function encode(width: number, height: number): Promise<string> {
    const canvas = await cover(file.value!, width, height)
    const [, base64 = ''] = canvas.toDataURL('image/jpeg', QUALITY).split(',')
    return base64
  }

  return { file, url, encode }
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
