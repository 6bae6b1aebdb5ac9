import { useObjectUrl } from '@vueuse/core'
import { shallowRef } from 'vue'

const QUALITIES = [0.92, 0.8, 0.6]
const SCALES = [1, 0.7, 0.5, 0.35, 0.25, 0.125]

/** The picture that image to image starts from, cut and scaled to the size that is asked for. */
export function useStartPicture() {
  const file = shallowRef<Blob | null>(null)
  const url = useObjectUrl(file)

  /** base64 of at most `bytes`: the API scales up again what had to be made smaller. Throws where the file is no picture. */
  async function encode(width: number, height: number, bytes: number): Promise<string> {
    const picture = await createImageBitmap(file.value!)
    try {
      return bestWithin(bytes, drafts(picture, width, height))
    } finally {
      picture.close()
    }
  }

  return { file, url, encode }
}

/** The first file of at most `bytes`, best first; none after it is made. Throws where there is none. */
export function bestWithin(bytes: number, files: Iterable<string>): string {
  for (const base64 of files) if (decodedBytes(base64) <= bytes) return base64
  throw new RangeError('no picture is small enough')
}

export function decodedBytes(base64: string): number {
  return (base64.length / 4) * 3 - (/=*$/.exec(base64)?.[0].length ?? 0)
}

/** Of ever lower quality, then of ever fewer pixels. */
function* drafts(picture: ImageBitmap, width: number, height: number): Generator<string> {
  for (const scale of SCALES) {
    const canvas = cover(picture, Math.round(width * scale), Math.round(height * scale))
    for (const quality of QUALITIES) yield canvas.toDataURL('image/jpeg', quality).split(',')[1]!
  }
}

function cover(picture: ImageBitmap, width: number, height: number): HTMLCanvasElement {
  const scale = Math.max(width / picture.width, height / picture.height)
  const [wide, high] = [picture.width * scale, picture.height * scale]
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const context = canvas.getContext('2d')!
  context.fillStyle = '#fff'
  context.fillRect(0, 0, width, height)
  context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high)
  return canvas
}
