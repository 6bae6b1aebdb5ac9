import type { ChosenControl, Model } from '@/api/types'

/** Part of the steps: a control has an effect from its start to its end. */
export const WHOLE = { start: 0, end: 1 }

/** Return the chosen controls that the model has, no more than a request may have. */
export function availableControls(chosen: ChosenControl[], { controls, bounds }: Model): ChosenControl[] {
  return chosen.filter(({ id }) => controls.some((control) => control.id === id)).slice(0, bounds.controls.maximum)
}

/** Whether the model accepts these controls with their values. */
export function acceptsControls(chosen: ChosenControl[], model: Model): boolean {
  const { minimum, maximum } = model.bounds.control_scale
  const areInRange = chosen.every(({ scale, start, end }) => {
    return scale >= minimum && scale <= maximum && start >= WHOLE.start && end <= WHOLE.end && start < end
  })
  return areInRange && availableControls(chosen, model).length === chosen.length
}

/** Return the controls that a job's record or an exported file describes; an empty list for anything else. */
export function toControls(value: unknown): ChosenControl[] {
  return Array.isArray(value) ? value.flatMap(toControl) : []
}

function toControl(value: unknown): ChosenControl[] {
  const fields: Partial<Record<string, unknown>> = Object.fromEntries(Object.entries(value ?? {}))
  const { id, scale, start = WHOLE.start, end = WHOLE.end, preprocess } = fields
  if (typeof id !== 'string' || typeof scale !== 'number' || typeof start !== 'number' || typeof end !== 'number')
    return []
  return [{ id, scale, start, end, ...(preprocess === 'canny' && { preprocess }) }]
}
