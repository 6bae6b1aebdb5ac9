import type { Size } from './api/types'

const COMMON: readonly (readonly [number, number])[] = [[1, 1], [3, 4], [4, 3], [2, 3], [3, 2], [9, 16], [16, 9], [1, 2], [2, 1]]
const NEAR = 0.04

/** The everyday name of a shape: models draw 16:9 as 1024 × 576, but also as 1344 × 768. */
export function ratioOf({ width, height }: Size): string {
  const near = COMMON.find(([wide, high]) => Math.abs(width / height / (wide / high) - 1) < NEAR)
  const divisor = greatestDivisor(width, height)
  return near ? near.join(':') : `${width / divisor}:${height / divisor}`
}

function greatestDivisor(a: number, b: number): number {
  return b ? greatestDivisor(b, a % b) : a
}
