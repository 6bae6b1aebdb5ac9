import type { ChosenControl, Model } from '@/api/types'
import type { Start } from '@/request/draft'

/** Part of the steps: a control has an effect from its start to its end. */
export const WHOLE = { start: 0, end: 1 }

type Other = Model['control_without'][number]

/** Whether the model does not take something together with controls. */
export function isWithoutControl(name: Other, model: Model): boolean {
  return model.controls.length > 0 && model.control_without.includes(name)
}

/** Return the chosen controls that the model has, no more than a request may have. */
export function availableControls(chosen: ChosenControl[], model: Model): ChosenControl[] {
  const { controls, bounds } = model
  const available = chosen.filter(({ id }) => controls.some((control) => control.id === id))
  const values = isWithoutControl('range', model) ? WHOLE : {}
  return available.slice(0, bounds.controls.maximum).map((control) => ({ ...control, ...values }))
}

/** Return the controls that a request with this start has. */
export function usableControls(chosen: ChosenControl[], model: Model, start: Start | null): ChosenControl[] {
  if (start && (start.sources ?? isWithoutControl(start.edit ? 'mask_image' : 'init_image', model))) return []
  return availableControls(chosen, model)
}

/** Whether the model accepts these controls with their values. */
export function acceptsControls(chosen: ChosenControl[], model: Model): boolean {
  const { minimum, maximum } = model.bounds.control_scale
  const areInRange = chosen.every(({ scale, start, end }) => {
    return scale >= minimum && scale <= maximum && start >= WHOLE.start && end <= WHOLE.end && start < end
  })
  const areWhole = chosen.every(({ start, end }) => start === WHOLE.start && end === WHOLE.end)
  const isRangeKnown = areWhole || !isWithoutControl('range', model)
  return areInRange && isRangeKnown && availableControls(chosen, model).length === chosen.length
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
