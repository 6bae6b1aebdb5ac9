import type { Model } from '@/api/types'
import type { ImageSize } from '@/images/canvas'

/** A second pass of a request: from the image of the first at `scale` times its size, the last `strength` of `steps`. */
export interface Hires {
  scale: number
  strength: number
  steps: number
}

/** What the user has set of a second pass. `steps` of null are those of the first. */
export type HiresDraft = Omit<Hires, 'steps'> & { steps: number | null }

/** Sides are multiples of this, as the API rounds them. */
const MULTIPLE = 8

const scaled = (side: number, scale: number) => Math.floor((side * scale) / MULTIPLE + 0.5) * MULTIPLE

/** Return the size after the second pass, if there is one. */
export function hiresSize({ width, height, hires }: ImageSize & { hires?: Hires | null }): ImageSize {
  return hires ? { width: scaled(width, hires.scale), height: scaled(height, hires.scale) } : { width, height }
}

/** Return the steps that run, as the API counts them. */
export function lastSteps(steps: number, strength: number): number {
  return Math.max(1, Math.floor(steps * strength + 0.5))
}

/** Whether the model accepts these values, whose steps have the given range. */
export function isHires({ scale, strength, steps }: Hires, { bounds }: Model, range: Range): boolean {
  const isWithin = (value: number, { minimum, maximum }: Range) => value >= minimum && value <= maximum
  const isInRange = isWithin(scale, bounds.hires_scale) && isWithin(strength, bounds.strength)
  return isInRange && isWithin(steps, range) && Number.isInteger(steps)
}

interface Range {
  minimum: number
  maximum: number
}

/** Return the second pass that a job's record or an exported file describes, else null. */
export function toHires(value: unknown): Hires | null {
  const { scale, strength, steps }: Partial<Record<string, unknown>> = Object.fromEntries(Object.entries(value ?? {}))
  const isComplete = typeof scale === 'number' && typeof strength === 'number' && typeof steps === 'number'
  return isComplete ? { scale, strength, steps } : null
}
