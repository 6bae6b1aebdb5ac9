import { FieldCollector, type NumberName, type StoredParameters, type Texts } from './storedParameters'

export type JsonObject = Record<string, unknown>

/** What tools call the parameters, in lower case without separators. */
const PROMPTS = ['prompt', 'positiveprompt']
const NEGATIVES = ['negativeprompt', 'uc', 'negative']
const NUMBERS: Record<string, NumberName> = {
  steps: 'num_inference_steps',
  numinferencesteps: 'num_inference_steps',
  cfgscale: 'guidance_scale',
  guidancescale: 'guidance_scale',
  cfg: 'guidance_scale',
  guidance: 'guidance_scale',
  scale: 'guidance_scale',
  seed: 'seed',
  width: 'width',
  height: 'height',
  strength: 'strength',
  denoisingstrength: 'strength',
}
const SIZES = ['size', 'resolution']
const SAMPLERS = ['sampler', 'samplername']
const SCHEDULES = ['schedule', 'scheduletype', 'noiseschedule', 'scheduler']
const IGNORED = ['metadatascheme']
const TOOLS: Record<string, string> = { invokeai_metadata: 'InvokeAI', 'sd-metadata': 'InvokeAI', Comment: 'NovelAI' }

/** Return the parameters of Draw Things. They stand again in the XMP's description, in its own form of an infotext. */
export function readDrawThings(texts: Texts): StoredParameters | null {
  return readJsonSettings(new Map([...texts].filter(([, text]) => isDrawThings(parseObject(text) ?? {}))))
}

/** Return the parameters of the first text that is a JSON object of settings, or null. */
export function readJsonSettings(texts: Texts): StoredParameters | null {
  for (const [place, text] of texts) {
    const settings = flatten(parseObject(text))
    if (!settings) continue
    const fields = new FieldCollector()
    takeSettings(settings, fields)
    const { parameters, notTaken } = fields
    // A prompt and one more: other JSON may have a name by accident.
    if (Object.keys(parameters).length < 2) continue
    return { source: toolOf(place, settings, texts), parameters, notTaken }
  }
  return null
}

/** Parse a JSON object, also with Python's NaN. Other texts are null. */
export function parseObject(text: string | null | undefined): JsonObject | null {
  if (!text?.trimStart().startsWith('{')) return null
  for (const json of [
    text,
    text.replace(/"[^"\\]*(?:\\.[^"\\]*)*(?:"|$)|\bNaN\b/gs, (part) => (part === 'NaN' ? 'null' : part)),
  ]) {
    try {
      const value: unknown = JSON.parse(json)
      return isObject(value) ? value : null
    } catch {
      continue
    }
  }
  return null
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** InvokeAI 2 and SwarmUI have the settings in an inner object. The prompt may be a list of one. */
function flatten(value: JsonObject | null): JsonObject | null {
  if (!value) return null
  if (isDrawThings(value)) {
    const { c: prompt, strength, ...others } = value
    return { prompt, ...(strength === 1 ? {} : { strength }), ...others } // 1: without an initial image
  }
  const { image, sui_image_params: swarm, ...rest } = value
  const inner = isObject(image) ? image : swarm
  return isObject(inner) ? { ...rest, ...inner } : value
}

function isDrawThings(value: JsonObject): boolean {
  return typeof value.c === 'string' && typeof value.uc === 'string'
}

function takeSettings(settings: JsonObject, fields: FieldCollector) {
  const names = new Map(Object.keys(settings).map((name) => [keyOf(name), name]))
  const find = (keys: string[]) => keys.map((key) => names.get(key)).find((name) => hasValue(settings[name ?? '']))
  const [prompt, negative, size] = [find(PROMPTS), find(NEGATIVES), find(SIZES)]
  const schedule = find(SCHEDULES)
  const sampler = find(SAMPLERS) ?? schedule
  takePrompts(settings, prompt, negative, fields)
  for (const [name, value] of Object.entries(settings)) {
    const number = NUMBERS[keyOf(name)]
    if ([prompt, negative].includes(name)) continue
    if (name === size) fields.size(name, value)
    else if (name === sampler)
      fields.scheduler(name, text(value), sampler === schedule ? '' : text(settings[schedule ?? '']))
    else if (number && hasValue(value) && fields.parameters[number] === undefined) fields.number(number, name, value)
    else if (name !== schedule && !IGNORED.includes(keyOf(name))) fields.reject(name, value)
  }
}

function takePrompts(settings: JsonObject, prompt = '', negative = '', fields: FieldCollector) {
  const [value, negativeValue] = [promptText(settings[prompt]), promptText(settings[negative])]
  if (value === null) fields.reject(prompt, settings[prompt])
  else Object.assign(fields.parameters, { prompt: value, negative_prompt: '' })
  if (negativeValue !== null) fields.parameters.negative_prompt = negativeValue
  else fields.reject(negative, settings[negative])
}

function promptText(value: unknown): string | null {
  if (typeof value === 'string') return value
  const only: unknown = Array.isArray(value) && value.length === 1 ? value[0] : null
  return isObject(only) && typeof only.prompt === 'string' ? only.prompt : null
}

function toolOf(place: string, settings: JsonObject, texts: Texts): string {
  if (
    texts.has('fooocus_scheme') ||
    settings.metadata_scheme === 'fooocus' ||
    text(settings.version).startsWith('Fooocus')
  )
    return 'Fooocus'
  if (isDrawThings(parseObject(texts.get(place)) ?? {})) return 'Draw Things'
  if ('swarm_version' in settings) return 'SwarmUI'
  if ('uc' in settings || texts.get('Software') === 'NovelAI') return 'NovelAI'
  return TOOLS[place] ?? 'JSON'
}

function hasValue(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(/[_\s-]/g, '')
}
