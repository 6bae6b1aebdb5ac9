import type { Parameters } from '@/api/types'

/** Scheduler name on the wire and what A1111 calls it: sampler, then schedule type where it is not automatic. */
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
  const found = SAMPLERS.find(([name]) => name === scheduler)
  if (!found) return `Sampler: ${scheduler}`
  return `Sampler: ${found[1]}, Schedule type: ${found[2] ?? 'Automatic'}`
}

function schedulerOf(sampler: string, schedule = ''): string {
  const wanted = `${sampler} ${schedule}`.toLowerCase()
  const matches = SAMPLERS.filter(([, name, type]) =>
    type ? wanted.startsWith(name.toLowerCase()) && wanted.includes(type.toLowerCase()) : sampler.toLowerCase() === name.toLowerCase(),
  )
  return matches[0]?.[0] ?? sampler
}

/** A1111's text form of one picture's parameters, which other tools read too. */
export function renderInfotext(picture: Parameters, model: string): string {
  const lines = [picture.prompt]
  if (picture.negative_prompt) lines.push(NEGATIVE + picture.negative_prompt)
  const settings = [
    `Steps: ${picture.num_inference_steps}`,
    samplerOf(picture.scheduler),
    `CFG scale: ${picture.guidance_scale}`,
    `Seed: ${picture.seed}`,
    `Size: ${picture.width}x${picture.height}`,
    `Model: ${model}`,
    ...(picture.strength === undefined ? [] : [`Denoising strength: ${picture.strength}`]),
    'Version: Easel',
  ]
  return [...lines, settings.join(', ')].join('\n')
}

/** The parameters that the text names; nothing where it is no infotext. */
export function parseInfotext(text: string): Partial<Parameters> | null {
  const lines = text.trim().split(/\r?\n/)
  const settings = pairs(lines.at(-1) ?? '')
  if (!settings.has('Steps')) return null
  const [prompt, negative] = prompts(lines.slice(0, -1))
  return { prompt, negative_prompt: negative, ...numbers(settings) }
}

function pairs(line: string): Map<string, string> {
  return new Map([...line.matchAll(PAIR)].map(([, key, value]) => [key!.trim(), value!.trim()]))
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
  const read = {
    num_inference_steps: Number(settings.get('Steps')),
    guidance_scale: Number(settings.get('CFG scale')),
    seed: Number(settings.get('Seed')),
    width,
    height,
    strength: Number(settings.get('Denoising strength')),
  }
  const known = Object.entries(read).filter(([, value]) => value !== undefined && Number.isFinite(value))
  return { ...Object.fromEntries(known), ...(sampler && { scheduler: schedulerOf(sampler, settings.get('Schedule type')) }) }
}
