import type { Parameters } from '@/api/types'

const NUMBERS = ['width', 'height', 'num_inference_steps', 'guidance_scale', 'seed'] as const
const TEXTS = ['prompt', 'negative_prompt', 'scheduler', 'output_format'] as const

/** Build a link that opens the page with these parameters. They are in the fragment, which no server receives. */
export function toShareLink(page: string, parameters: Parameters): string {
  const fields = new URLSearchParams()
  for (const name of [...TEXTS, ...NUMBERS]) {
    const value = String(parameters[name])
    if (value) fields.set(name, value)
  }
  return `${page.replace(/#.*/s, '')}#${fields.toString()}`
}

/** Return the parameters in a fragment, or null if it has no prompt. */
export function fromFragment(fragment: string): Partial<Parameters> | null {
  const fields = new URLSearchParams(fragment.replace(/^#/, ''))
  if (!fields.has('prompt')) return null
  const parameters: Partial<Parameters> = {}
  for (const name of TEXTS) {
    const value = fields.get(name)
    if (value !== null) parameters[name] = value
  }
  for (const name of NUMBERS) {
    const value = Number.parseFloat(fields.get(name) ?? '')
    if (Number.isFinite(value)) parameters[name] = value
  }
  return parameters
}
