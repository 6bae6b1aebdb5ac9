import { readComfyUi } from './comfyUi'
import { readCommandLine } from './commandLines'
import { addAvifTexts, addJpegTexts, addWebpTexts, isAvif, isJpeg, isWebp } from './containers'
import { parseInfotext } from './infotext'
import { parseObject, readDrawThings, readJsonSettings } from './jsonSettings'
import { addPngTexts, isPng } from './png'
import { readStealthText } from './stealth'
import { MAX_TEXT_BYTES, type StoredParameters, type Texts } from './storedParameters'

const MAX_FILE_BYTES = 256 * 2 ** 20

/**
 * Return the generation parameters that a tool has stored in an image file, or null if it has none. All sizes are
 * bounded and all parsers take linear time, for the file may be anybody's.
 */
export async function readParameters(file: Blob): Promise<StoredParameters | null> {
  if (file.size > MAX_FILE_BYTES) return null
  const bytes = new Uint8Array(await file.arrayBuffer())
  const texts = await readTexts(bytes)
  const stored = findSettings(texts) ?? (await readHidden(bytes))
  const tooLarge = [...texts].filter(([, text]) => text === null).map(([name]) => ({ name, value: '> 4 MiB' }))
  if (!stored && !tooLarge.length) return null
  const { source = '', parameters = {}, notTaken = [] } = stored ?? {}
  return { source, parameters, notTaken: [...notTaken, ...tooLarge] }
}

function findSettings(texts: Texts): StoredParameters | null {
  return (
    readDrawThings(texts) ??
    readInfotext(texts) ??
    readComfyUi(texts) ??
    readJsonSettings(texts) ??
    readCommandLine(texts)
  )
}

/** Return the parameters in the pixels of a PNG. Text of another form is named. */
async function readHidden(bytes: Uint8Array): Promise<StoredParameters | null> {
  const text = isPng(bytes) ? await readStealthText(bytes).catch(() => null) : null
  if (!text) return null
  const texts: Texts = new Map()
  for (const [name, value] of Object.entries(parseObject(text) ?? { parameters: text })) {
    if (typeof value === 'string') texts.set(name, value)
  }
  return findSettings(texts) ?? { source: '', parameters: {}, notTaken: [{ name: 'alpha', value: text }] }
}

async function readTexts(bytes: Uint8Array): Promise<Texts> {
  const texts: Texts = new Map()
  try {
    if (isPng(bytes)) await addPngTexts(bytes, texts)
    else if (isWebp(bytes)) addWebpTexts(bytes, texts)
    else if (isJpeg(bytes)) addJpegTexts(bytes, texts)
    else if (isAvif(bytes)) addAvifTexts(bytes, texts)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // an offset outside a damaged file
  }
  for (const [name, text] of texts) if (text && text.length > MAX_TEXT_BYTES) texts.set(name, null)
  return texts
}

function readInfotext(texts: Texts): StoredParameters | null {
  for (const text of texts.values()) {
    const stored = text && !parseObject(text) ? parseInfotext(text) : null
    if (!stored) continue
    const workflow = texts.get('workflow') ?? texts.get('prompt')
    if (parseObject(workflow)) stored.notTaken.push({ name: 'workflow', value: 'ComfyUI' })
    return stored
  }
  return null
}
