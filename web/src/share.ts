import type { Parameters } from './api/types'

const NUMBERS = ['width', 'height', 'num_inference_steps', 'guidance_scale', 'seed'] as const
const TEXTS = ['prompt', 'negative_prompt', 'scheduler', 'output_format'] as const

/** A link that opens the page with these parameters filled in. They stay behind the #, so no server sees them. */
export function toLink(page: string, parameters: Parameters): string {
  const told = [...TEXTS, ...NUMBERS].map((name) => [name, String(parameters[name])] as [string, string])
  const fragment = new URLSearchParams(told.filter(([, value]) => value))
  return `${page.split('#')[0]}#${fragment}`
}

export function fromFragment(fragment: string): Partial<Parameters> | null {
  const told = new URLSearchParams(fragment.replace(/^#/, ''))
  if (!told.has('prompt')) return null
  const numbers = NUMBERS.filter((name) => Number.isFinite(Number.parseFloat(told.get(name) ?? '')))
  return {
    ...Object.fromEntries(TEXTS.filter((name) => told.has(name)).map((name) => [name, told.get(name)])),
    ...Object.fromEntries(numbers.map((name) => [name, Number(told.get(name))])),
  }
}
