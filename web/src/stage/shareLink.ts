import type { Parameters } from '@/api/types'
import { missingInputs } from '@/inpaint/edit'
import { toHires } from '@/request/hires'
import { toLoras } from '@/request/loras'
import { FieldCollector, type StoredParameters } from '@/images/storedParameters'

const NUMBERS = ['width', 'height', 'num_inference_steps', 'guidance_scale', 'seed'] as const
const INPUTS = ['init_image', 'mask_image', 'outpaint', 'images', 'control']
const TEXTS = ['prompt', 'negative_prompt', 'scheduler', 'output_format'] as const

/**
 * Build a link that opens the page with these parameters. `model`: its id, or empty where there is no choice. They are in the fragment, which no server receives. Images do
 * not fit into a link: it names those that are missing.
 */
export function toShareLink(page: string, parameters: Parameters, model: string): string {
  const fields = new URLSearchParams()
  for (const name of [...TEXTS, ...NUMBERS]) {
    const value = String(parameters[name])
    if (value) fields.set(name, value)
  }
  const loras = parameters.loras?.map(({ id, scale }) => `${id}:${scale}`)
  if (loras) fields.set('loras', loras.join(' '))
  if (parameters.prompt_syntax) fields.set('prompt_syntax', parameters.prompt_syntax)
  if (parameters.clip_skip !== undefined) fields.set('clip_skip', String(parameters.clip_skip))
  const { scale, strength, steps } = parameters.hires ?? {}
  if (steps) fields.set('hires', [scale, strength, steps].join(':'))
  if (model) fields.set('model', model)
  const missing = missingInputs(parameters).map(({ name }) => name)
  if (missing.length) fields.set('without', missing.join(' '))
  return `${page.replace(/#.*/s, '')}#${fields.toString()}`
}

/** Return the parameters in a fragment and the names of fields that are no numbers, or null if it has no prompt. */
export function fromFragment(fragment: string): Pick<StoredParameters, 'parameters' | 'notTaken'> | null {
  const values = new URLSearchParams(fragment.replace(/^#/, ''))
  if (!values.has('prompt')) return null
  const fields = new FieldCollector()
  for (const name of TEXTS) {
    const value = values.get(name)
    if (value !== null) fields.parameters[name] = value
  }
  for (const name of NUMBERS) fields.number(name, name, values.get(name))
  const loras = values.get('loras')?.split(' ').map(toLora)
  if (loras) fields.parameters.loras = toLoras(loras)
  if (values.get('prompt_syntax') === 'weighted') fields.parameters.prompt_syntax = 'weighted'
  fields.number('clip_skip', 'clip_skip', values.get('clip_skip'))
  const [scale, strength, steps] = values.get('hires')?.split(':').map(Number) ?? []
  const hires = toHires({ scale, strength, steps })
  if (hires) fields.parameters.hires = hires
  else fields.reject('hires', values.get('hires'))
  fields.reject('Model', values.get('model'))
  const missing = values.get('without')?.split(' ') ?? []
  for (const name of INPUTS) if (missing.includes(name)) fields.reject(name, '…')
  return fields
}

function toLora(text: string) {
  const colon = text.lastIndexOf(':')
  return { id: text.slice(0, colon), scale: Number(text.slice(colon + 1)) }
}
