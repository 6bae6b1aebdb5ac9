import type { Parameters } from '@/api/types'
import type { ImageSize } from '@/images/canvas'
import type { NotTaken } from '@/images/storedParameters'
import type { Draft } from '@/request/draft'

export const SIDES = ['left', 'right', 'top', 'bottom'] as const

/** Pixels of the result by which the init image is extended. */
export type Margins = Record<(typeof SIDES)[number], number>

/** A stroke of the brush, in pixels of the init image; `points` are x and y in turn. */
export interface Stroke {
  kind: 'stroke'
  erases: boolean
  radius: number
  points: number[]
}

export type MaskStep = Stroke | { kind: 'clear' | 'invert' }

export type DraftSize = Pick<Draft, 'width' | 'height'>

/** Sizes of the request, which an edit changes. */
export interface EditSizes {
  before: DraftSize
  /** That of the image if it had no margins. */
  whole: ImageSize
  /** That of the image beside its margins, which the draft has. */
  fitted: ImageSize
}

/** Which part of the init image is generated anew. */
export interface Edit {
  /** A mask as a PNG file in base64, white where it is set, on which the steps are painted; empty: none. */
  base: string
  steps: MaskStep[]
  undone: MaskStep[]
  margins: Margins
  blur: number
  /** Null: the edit has not set the size. */
  sizes: EditSizes | null
}

/** The blur of the API. */
export const DEFAULT_BLUR = 4

export function emptyEdit(): Edit {
  const margins = { left: 0, right: 0, top: 0, bottom: 0 }
  return { base: '', steps: [], undone: [], margins, blur: DEFAULT_BLUR, sizes: null }
}

export function hasMargins({ margins }: Pick<Edit, 'margins'>): boolean {
  return SIDES.some((side) => margins[side] > 0)
}

/** Whether something may be marked: strokes that an eraser has removed again still count. */
export function hasMask({ base, steps }: Pick<Edit, 'base' | 'steps'>): boolean {
  const lastClear = steps.map(({ kind }) => kind).lastIndexOf('clear')
  const marks = (step: MaskStep) => step.kind === 'invert' || (step.kind === 'stroke' && !step.erases)
  return (lastClear < 0 && base !== '') || steps.slice(lastClear + 1).some(marks)
}

/** Return the margins in words; empty if there are none. */
export function marginsText(margins: Margins, t: (key: string) => string): string {
  return SIDES.filter((side) => margins[side])
    .map((side) => `${t(`inpaint.${side}`)} ${margins[side]}`)
    .join(', ')
}

/** Return the size of the init image of a result that was extended by margins. */
export function withoutMargins(size: { width: number; height: number }, margins: Margins) {
  return { width: size.width - margins.left - margins.right, height: size.height - margins.top - margins.bottom }
}

type Inputs = Pick<Parameters, 'strength' | 'mask_mode' | 'outpaint' | 'images' | 'control'>

/** Return the fields of an image's request that only its files could give back. */
export function missingInputs({ strength, mask_mode, outpaint, images, control }: Inputs): NotTaken[] {
  const fields = { init_image: strength, mask_image: mask_mode, outpaint, images, control }
  return Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value: '…' }]))
}
