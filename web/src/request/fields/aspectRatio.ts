import type { Size } from '@/api/types'

const COMMON: readonly (readonly [number, number])[] = [
  [1, 1],
  [3, 4],
  [4, 3],
  [2, 3],
  [3, 2],
  [9, 16],
  [16, 9],
  [1, 2],
  [2, 1],
]
const TOLERANCE = 0.04

/** Return the common name of an aspect ratio. 1344 × 768 counts as 16:9, as 1024 × 576 does. */
export function aspectRatio({ width, height }: Size): string {
  const common = COMMON.find(([x, y]) => Math.abs(width / height / (x / y) - 1) < TOLERANCE)
  const divisor = greatestCommonDivisor(width, height)
  return common ? common.join(':') : `${width / divisor}:${height / divisor}`
}

function greatestCommonDivisor(a: number, b: number): number {
  return b ? greatestCommonDivisor(b, a % b) : a
}
