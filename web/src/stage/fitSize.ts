import type { HistoryImage } from '@/history/imageStore'

/** The custom properties by which the class `fit` shows an image whole. */
export function fitSize({ parameters: { width, height } }: HistoryImage): Record<string, number> {
  return { '--w': width || 1, '--h': height || 1 }
}
