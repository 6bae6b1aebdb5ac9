import { FieldCollector, type NumberName, type StoredParameters, type Texts } from './storedParameters'

const JOB = ' Job ID: '
/** The options of InvokeAI's oldest versions, `"a cat" -s 50 -S 7 -W 512 -H 512 -C 7.5 -A k_lms`. */
const DREAM: Record<string, NumberName> = {
  s: 'num_inference_steps',
  S: 'seed',
  W: 'width',
  H: 'height',
  C: 'guidance_scale',
  f: 'strength',
}

/** Return the parameters of a file whose tool stores the command line, or null. */
export function readCommandLine(texts: Texts): StoredParameters | null {
  return readDream(texts.get('Dream')) ?? readMidjourney(texts)
}

function readDream(text: string | null | undefined): StoredParameters | null {
  const end = text?.startsWith('"') ? text.lastIndexOf('"') : -1
  if (!text || end < 1) return null
  const fields = new FieldCollector()
  Object.assign(fields.parameters, { prompt: text.slice(1, end), negative_prompt: '' })
  for (const [, name = '', value = ''] of text.slice(end + 1).matchAll(/\s-([a-zA-Z])\s?([^\s]*)/g)) {
    const number = DREAM[name]
    if (number) fields.number(number, `-${name}`, value)
    else if (name === 'A') fields.scheduler('-A', value)
    else fields.reject(`-${name}`, value || 'true')
  }
  return { source: 'InvokeAI', parameters: fields.parameters, notTaken: fields.notTaken }
}

/** Midjourney: `a cat --ar 3:2 --v 6 Job ID: …`. None of its options has an equal. */
function readMidjourney(texts: Texts): StoredParameters | null {
  for (const text of texts.values()) {
    const end = text?.lastIndexOf(JOB) ?? -1
    if (!text || end < 0 || !/^[\da-f-]{36}$/.test(text.slice(end + JOB.length).trim())) continue
    const [prompt = '', ...options] = text.slice(0, end).split(/\s--(?=[a-z])/)
    const fields = new FieldCollector()
    fields.parameters.prompt = prompt.trim()
    for (const option of options) {
      const [, name = '', value = ''] = /^(\S+)\s*(.*)$/s.exec(option) ?? []
      fields.reject(`--${name}`, value || 'true')
    }
    return { source: 'Midjourney', parameters: fields.parameters, notTaken: fields.notTaken }
  }
  return null
}
