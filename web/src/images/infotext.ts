import type { Parameters } from '@/api/types'
import { lastSteps, type Hires } from '@/request/hires'
import { toLoras } from '@/request/loras'
import { samplerOf } from './schedulers'
import { FieldCollector, type StoredParameters } from './storedParameters'

const NEGATIVE = 'Negative prompt:'
const KNOWN = ['steps', 'sampler', 'schedule type', 'cfg scale', 'seed', 'size', 'model', 'denoising strength']
/** A line of settings has at least so many known names, or starts with the steps. */
const MIN_KNOWN = 3
const MAX_NAME_CHARS = 60
/** What A1111 reads as more than text. */
const WEIGHTS = /(?<!\\)[([]|\bBREAK\b/
/** Tags that Easel writes behind the prompt. */
const TAGS = /(?: <lora:[^<>:]+:[^<>:]+>)+$/
/** What Easel writes beside the settings. */
const DESCRIPTIONS = ['model revision', 'model licence', 'lora hashes']
/** How the second pass here scales the first pass's image. */
const UPSCALER = 'Lanczos'
/** Names of the schedule type: A1111's, and Fooocus'. */
const SCHEDULES = ['schedule type', 'scheduler']

type Pair = [name: string, value: string]

/** Render the parameters of an image as A1111's infotext, which other tools also read. */
export function renderInfotext(parameters: Parameters, model: string): string {
  const { sampler, schedule } = samplerOf(parameters.scheduler)
  const lines = [parameters.prompt]
  if (parameters.negative_prompt) lines.push(`${NEGATIVE} ${parameters.negative_prompt}`)
  const settings = [
    `Steps: ${parameters.num_inference_steps}`,
    `Sampler: ${sampler}`,
    ...(schedule ? [`Schedule type: ${schedule}`] : []),
    `CFG scale: ${parameters.guidance_scale}`,
    `Seed: ${parameters.seed}`,
    `Size: ${parameters.width}x${parameters.height}`,
    `Model: ${/[,:\n"]/.test(model) ? JSON.stringify(model) : model}`,
    ...(parameters.strength === undefined ? [] : [`Denoising strength: ${parameters.strength}`]),
    ...(parameters.clip_skip === undefined ? [] : [`Clip skip: ${parameters.clip_skip}`]),
    ...hiresSettings(parameters.hires),
    ...(parameters.prompt_syntax === undefined ? [] : [`Prompt syntax: ${parameters.prompt_syntax}`]),
    'Version: Easel',
  ]
  return [...lines, settings.join(', ')].join('\n')
}

/** Render a second pass. A1111 counts the steps that run; `Hires schedule` has those of the request if they differ. */
function hiresSettings(hires?: Hires): string[] {
  if (!hires) return []
  const { scale, strength, steps } = hires
  const run = lastSteps(steps, strength)
  return [
    `Denoising strength: ${strength}`,
    `Hires upscale: ${scale}`,
    `Hires steps: ${run}`,
    `Hires upscaler: ${UPSCALER}`,
    ...(roundToEven(run / strength) === steps ? [] : [`Hires schedule: ${steps}`]),
  ]
}

/** Round as Python does, which also writes these texts. */
function roundToEven(value: number): number {
  const rounded = Math.round(value)
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded
}

/** Return the parameters in an infotext, or null if the text is not an infotext. Takes linear time. */
export function parseInfotext(text: string): StoredParameters | null {
  const lines = text.trim().split(/\r?\n/)
  let last = lines.length - 1
  while (last >= 0 && !isSettingsLine(lines[last] ?? '')) last--
  if (last < 0) return null
  let first = last
  while (first > 0 && continuesSettings(lines[first - 1] ?? '')) first--
  const fields = new FieldCollector()
  Object.assign(fields.parameters, prompts(lines.slice(0, first)))
  const settings = new Map<string, Pair>()
  for (const pair of lines.slice(first).flatMap(pairs)) {
    const key = pair[0].toLowerCase()
    fields.reject(...(settings.get(key) ?? ['', '']))
    settings.set(key, pair)
  }
  takeSettings(settings, fields)
  const version = settings.get('version')?.[1] ?? ''
  const source = ['Easel', 'Fooocus'].find((name) => version.startsWith(name)) ?? 'A1111'
  takePromptSyntax(fields.parameters, source)
  return { source, parameters: fields.parameters, notTaken: fields.notTaken }
}

/** Take Easel's LoRAs from behind the prompt. A1111 reads weights without being asked. */
function takePromptSyntax(parameters: Partial<Parameters>, source: string) {
  const { prompt = '', negative_prompt = '' } = parameters
  if (source === 'A1111' && (WEIGHTS.test(prompt) || WEIGHTS.test(negative_prompt))) {
    parameters.prompt_syntax = 'weighted'
  }
  const [tags] = (source === 'Easel' && TAGS.exec(prompt)) || []
  if (!tags) return
  const pairs = Array.from(tags.matchAll(/<lora:([^:]+):([^>]+)>/g), ([, id, scale]) => ({ id, scale: Number(scale) }))
  Object.assign(parameters, { prompt: prompt.slice(0, -tags.length), loras: toLoras(pairs) })
}

/** Whether a line begins with a known setting and goes on with others. */
function isSettingsLine(line: string): boolean {
  const found = pairs(line)
  const [first = '', ...others] = found.map(([name]) => name.toLowerCase())
  if (!KNOWN.includes(first)) return false
  if (first === 'steps' && /^\d*$/.test(found[0]?.[1] ?? '')) return true
  return others.filter((name) => KNOWN.includes(name)).length + 1 >= MIN_KNOWN
}

/** Whether a line before the settings is a setting and nothing else. Some tools write one a line. */
function continuesSettings(line: string): boolean {
  const setting = /^\s*((steps|seed|cfg scale|denoising strength): *[\d.]+|size: *\d+x\d+|sampler: [\w+ ]{1,40}),?\s*$/i
  return line.length < 100 && setting.test(line)
}

/** Split a line into pairs. A value may be quoted, or JSON. Text without a name has the name `…`. */
function pairs(line: string): Pair[] {
  const found: Pair[] = []
  let closes = true
  for (let at = 0; at < line.length;) {
    const colon = line.indexOf(':', at)
    const comma = colon < 0 ? line.length : Math.max(at, line.lastIndexOf(',', colon))
    const nameless = line.slice(at, comma).trim()
    if (nameless) found.push(['…', nameless])
    if (colon < 0) break
    const start = skipSpaces(line, colon + 1)
    const closed: number = closes ? closedEnd(line, start) : start
    if (closed < 0) closes = false
    const nextComma = line.indexOf(',', Math.max(closed, start))
    const end = nextComma < 0 ? line.length : nextComma
    const name = line.slice(comma, colon).replace(/^,/, '').trim()
    found.push([name.length > MAX_NAME_CHARS ? '…' : name, unquote(line.slice(start, end).trim())])
    at = end + 1
  }
  return found
}

function skipSpaces(line: string, start: number): number {
  let at = start
  while (at < line.length && /\s/.test(line.charAt(at))) at++
  return at
}

/** Return the end of the quoted or JSON value at `start`, `start` for other values, and -1 if it is not closed. */
function closedEnd(line: string, start: number): number {
  let depth = 0
  let quoted = false
  for (let at = start; at < line.length; at++) {
    const character = line.charAt(at)
    if (quoted && character === '\\') at++
    else if (character === '"') quoted = !quoted
    else if (!quoted && '{['.includes(character)) depth++
    else if (!quoted && '}]'.includes(character)) depth--
    if (!quoted && depth <= 0) return at === start && !'"{['.includes(character) ? start : at + 1
  }
  return start < line.length ? -1 : start
}

function unquote(value: string): string {
  if (!value.startsWith('"')) return value
  try {
    return String(JSON.parse(value))
  } catch {
    return value
  }
}

function prompts(lines: string[]): Partial<Parameters> {
  const start = lines.findIndex((line) => line.startsWith(NEGATIVE))
  if (start < 0) return { prompt: lines.join('\n').trim(), negative_prompt: '' }
  const negative = lines.slice(start).join('\n').slice(NEGATIVE.length)
  return { prompt: lines.slice(0, start).join('\n').trim(), negative_prompt: negative.trim() }
}

function takeSettings(settings: Map<string, Pair>, fields: FieldCollector) {
  // With an upscale the strength is that of its second pass.
  const hasUpscale = [...settings.keys()].some((key) => key.startsWith('hires '))
  const hiresKeys = takeHires(settings, fields)
  const isEasel = settings.get('version')?.[1] === 'Easel'
  for (const [key, [name, value]] of settings) {
    if (hiresKeys.includes(key)) continue
    else if (key === 'steps') fields.number('num_inference_steps', name, value)
    else if (key === 'cfg scale') fields.number('guidance_scale', name, value)
    else if (key === 'seed') fields.number('seed', name, value)
    else if (key === 'size') fields.size(name, value)
    else if (key === 'denoising strength' && !hasUpscale) fields.number('strength', name, value)
    else if (key === 'clip skip') fields.number('clip_skip', name, value)
    else if (key === 'prompt syntax' && value === 'weighted') fields.parameters.prompt_syntax = value
    else if (key === 'sampler') takeSampler(settings, fields)
    else if (SCHEDULES.includes(key) && settings.get('sampler')?.[1]) continue
    else if (!isEasel || ![...DESCRIPTIONS, 'version'].includes(key)) fields.reject(name, value)
  }
}

/** Take a second pass if the file has all of it. Return the names of the settings that it was taken from. */
function takeHires(settings: Map<string, Pair>, fields: FieldCollector): string[] {
  const text = (key: string) => settings.get(key)?.[1] ?? ''
  const number = (key: string) => (/^\d+(\.\d+)?$/.test(text(key)) ? Number(text(key)) : 0)
  const [scale, strength] = [number('hires upscale'), number('denoising strength')]
  const hasSteps = !text('hires steps') || /^\d+$/.test(text('hires steps'))
  const run = number('hires steps') || number('steps')
  if (!scale || !strength || !run || !hasSteps) return []
  fields.parameters.hires = { scale, strength, steps: number('hires schedule') || roundToEven(run / strength) }
  const upscaler = text('hires upscaler') === UPSCALER ? ['hires upscaler'] : []
  return ['hires upscale', 'hires steps', 'hires schedule', 'denoising strength', ...upscaler]
}

function takeSampler(settings: Map<string, Pair>, fields: FieldCollector) {
  const value = (key: string) => settings.get(key)?.[1] ?? ''
  const schedule = SCHEDULES.map(value).find(Boolean)
  const isOwnName = value('version') === 'Easel' && !schedule
  fields.scheduler('Sampler', value('sampler'), schedule, isOwnName)
}
