import { useSessionStorage } from '@vueuse/core'
import { emptyEdit, hasMargins, hasMask, type Edit, type MaskStep } from './edit'

/** The mask and the margins of the init image, kept over a reload. */
export function useEdit() {
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

  const reset = (values: Partial<Edit> = {}) => {
    edit.value = { ...emptyEdit(), ...values }
  }

  const isBlank = () => !hasMask(edit.value) && !hasMargins(edit.value)
  return { edit, add, undo, redo, reset, isBlank }
}
