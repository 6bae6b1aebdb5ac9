import { useSessionStorage } from '@vueuse/core'
import type { ImageSize } from '@/images/canvas'
import { emptyEdit, hasMargins, hasMask, type DraftSize, type Edit, type EditSizes, type MaskStep } from './edit'

/**
 * The mask and the margins of the init image, kept over a reload. `draft`: has the size that they change; `others`: sizes
 * that were set aside, which may be theirs, too.
 */
export function useEdit(draft: () => DraftSize, others: () => DraftSize[]) {
  const edit = useSessionStorage<Edit>('easel.edit', emptyEdit(), { mergeDefaults: true })

  /** Add a step. What was undone can no longer be redone. */
  function add(step: MaskStep) {
    edit.value.steps.push(step)
    edit.value.undone = []
  }

  function undo() {
    const step = edit.value.steps.pop()
    if (step) edit.value.undone.push(step)
  }

  function redo() {
    const step = edit.value.undone.pop()
    if (step) edit.value.steps.push(step)
  }

  /** Return the sizes of the edit, or null if the draft has another by now. */
  function ownSizes(): EditSizes | null {
    return isOwn(draft()) ? edit.value.sizes : null
  }

  function isOwn({ width, height }: DraftSize): boolean {
    const { sizes } = edit.value
    return sizes?.fitted.width === width && sizes.fitted.height === height
  }

  /** Give the image the size `fitted` beside its margins. Without them it would have the size `whole`. */
  function fit(whole: ImageSize, fitted = whole) {
    const { width, height } = draft()
    edit.value.sizes = { before: ownSizes()?.before ?? { width, height }, whole, fitted }
    Object.assign(draft(), fitted)
  }

  /** Give the draft the size that it had before the edit, or that of the whole image, if nobody has set another. */
  function restoreSize(name: 'before' | 'whole') {
    for (const size of [draft(), ...others()].filter(isOwn)) Object.assign(size, edit.value.sizes?.[name])
    edit.value.sizes = null
  }

  const reset = (values: Partial<Edit> = {}) => {
    edit.value = { ...emptyEdit(), ...values }
  }

  const isBlank = () => !hasMask(edit.value) && !hasMargins(edit.value)
  return { edit, add, undo, redo, ownSizes, fit, restoreSize, reset, isBlank }
}
