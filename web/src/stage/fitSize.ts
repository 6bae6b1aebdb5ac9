import type { HistoryImage } from '@/history/imageStore'
import { hiresSize } from '@/request/hires'

/** The custom properties by which the class `fit` shows an image whole. */
export function fitSize({ parameters }: HistoryImage): Record<string, number> {
  const { width, height } = hiresSize(parameters)
  return { '--w': width || 1, '--h': height || 1 }
}
