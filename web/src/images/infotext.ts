import type { Parameters } from '@/api/types'

/** The API's scheduler names with A1111's sampler name and, unless automatic, schedule type. */
const SAMPLERS: readonly (readonly [scheduler: string, sampler: string, schedule?: string])[] = [
  ['ddim', 'DDIM'],
  ['ddpm', 'DDPM'],
  ['dpmpp_2m_karras', 'DPM++ 2M', 'Karras'],
  ['dpmpp_2m', 'DPM++ 2M'],
  ['euler', 'Euler'],
  ['euler_a', 'Euler a'],
  ['heun', 'Heun'],
  ['lcm', 'LCM'],
  ['lms', 'LMS'],
  ['pndm', 'PLMS'],
  ['unipc', 'UniPC'],
]

const NEGATIVE = 'Negative prompt: '
const PAIR = /\s*([\w ]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)/gu

function samplerOf(scheduler: string): string {
  const [, sampler, schedule = 'Automatic'] = SAMPLERS.find(([name]) => name === scheduler) ?? []
  return sampler ? `Sampler: ${sampler}, Schedule type: ${schedule}` : `Sampler: ${scheduler}`
}

function schedulerOf(sampler: string, schedule = ''): string {
  const label = `${sampler} ${schedule}`.toLowerCase()
  const match = SAMPLERS.find(([, name, type]) =>
    type
      ? label.startsWith(name.toLowerCase()) && label.includes(type.toLowerCase())
      : sampler.toLowerCase() === name.toLowerCase(),
  )
  return match?.[0] ?? sampler
}

/** Render the parameters of an image as A1111's infotext, which other tools also read. */
export function renderInfotext(parameters: Parameters, model: string): string {
  const lines = [parameters.prompt]
  if (parameters.negative_prompt) lines.push(NEGATIVE + parameters.negative_prompt)
  const settings = [
    `Steps: ${parameters.num_inference_steps}`,
    samplerOf(parameters.scheduler),
    `CFG scale: ${parameters.guidance_scale}`,
    `Seed: ${parameters.seed}`,
    `Size: ${parameters.width}x${parameters.height}`,
    `Model: ${model}`,
    ...(parameters.strength === undefined ? [] : [`Denoising strength: ${parameters.strength}`]),
    'Version: Easel',
  ]
  return [...lines, settings.join(', ')].join('\n')
}

/** Return the parameters in an infotext, or null if the text is not an infotext. */
export function parseInfotext(text: string): Partial<Parameters> | null {
  const lines = text.trim().split(/\r?\n/)
  const settings = pairs(lines.at(-1) ?? '')
  if (!settings.has('Steps')) return null
  const [prompt, negative] = prompts(lines.slice(0, -1))
  return { prompt, negative_prompt: negative, ...numbers(settings) }
}

function pairs(line: string): Map<string, string> {
  return new Map(Array.from(line.matchAll(PAIR), ([, key = '', value = '']) => [key.trim(), value.trim()]))
}

function prompts(lines: string[]): [prompt: string, negative: string] {
  const start = lines.findIndex((line) => line.startsWith(NEGATIVE.trimEnd()))
  if (start < 0) return [lines.join('\n').trim(), '']
  const negative = lines.slice(start).join('\n').slice(NEGATIVE.trimEnd().length)
  return [lines.slice(0, start).join('\n').trim(), negative.trim()]
}

function numbers(settings: Map<string, string>): Partial<Parameters> {
  const [width, height] = (settings.get('Size') ?? '').split('x').map(Number)
  const sampler = settings.get('Sampler')
  const values = {
    num_inference_steps: Number(settings.get('Steps')),
    guidance_scale: Number(settings.get('CFG scale')),
    seed: Number(settings.get('Seed')),
    width,
    height,
    strength: Number(settings.get('Denoising strength')),
  }
  const present = Object.entries(values).filter(([, value]) => value !== undefined && Number.isFinite(value))
  return {
    ...Object.fromEntries(present),
    ...(sampler && { scheduler: schedulerOf(sampler, settings.get('Schedule type')) }),
  }
}
