// @vitest-environment node
import { readFileSync } from 'node:fs'
import { deflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { parseInfotext, renderInfotext } from '@/images/infotext'
import { readParameters } from '@/images/readParameters'
import { schedulerOf } from '@/images/schedulers'
import { PARAMETERS } from '../data'
import { compressedChunk, exif, jpeg, png, textChunk, textPng, webp } from './imageFiles'

const SETTINGS = 'Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x768'
const INFOTEXT = `一只 cat, "quoted" 🐼\nNegative prompt: blurry\n${SETTINGS}`
const EXPECTED = {
  prompt: '一只 cat, "quoted" 🐼',
  negative_prompt: 'blurry',
  num_inference_steps: 20,
  scheduler: 'euler',
  guidance_scale: 7,
  seed: 5,
  width: 512,
  height: 768,
}
const LATIN = `a café\n${SETTINGS}`
const [USER_COMMENT, DESCRIPTION, MAKE, MODEL, XP_COMMENT] = [0x9286, 0x010e, 0x010f, 0x0110, 0x9c9c]

const latin1 = (text: string) => Buffer.from(text, 'latin1')
const utf8 = (text: string) => Buffer.from(text)
const utf16 = (text: string) => Buffer.from(text, 'utf16le')
const utf16be = (text: string) => utf16(text).swap16()
const comment = (code: string, value: Buffer, { type = 7, little = false } = {}) =>
  exif([{ tag: USER_COMMENT, type, value: Buffer.concat([latin1(code), value]) }], little)
const exifJpeg = (block: Buffer) => jpeg([0xe1, Buffer.concat([latin1('Exif\0\0'), block])])
const xmp = (text: string) =>
  utf8(
    `<x:xmpmeta><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">${text
      .replace(/&/g, '&amp;')
      .replace(/"/g, '&#34;')
      .replace(/\n/g, '&#xA;')}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></x:xmpmeta>`,
  )

/** Processor time of this process: other programs on a busy machine do not count. */
function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const fixture = (name: string) => new Blob([readFileSync(`${import.meta.dirname}/../fixtures/${name}`)])

describe('places and encodings', () => {
  test.each<[string, Blob]>([
    ['PNG parameters', textPng({ parameters: INFOTEXT })],
    ['PNG Comment', textPng({ Software: 'x', Comment: INFOTEXT })],
    ['PNG Description', textPng({ Description: INFOTEXT })],
    ['PNG zTXt in UTF-8', png(compressedChunk('parameters', utf8(INFOTEXT)))],
    ['PNG tEXt in UTF-8', png(['tEXt', utf8(`parameters\0${INFOTEXT}`)])],
    ['PNG eXIf', png(['eXIf', comment('UNICODE\0', utf16be(INFOTEXT))])],
    ['PNG XMP', png(textChunk('XML:com.adobe.xmp', xmp(INFOTEXT).toString()))],
    ['UNDEFINED, UTF-16 BE', exifJpeg(comment('UNICODE\0', utf16be(INFOTEXT)))],
    ['BYTE, UTF-16 BE', exifJpeg(comment('UNICODE\0', utf16be(INFOTEXT), { type: 1 }))],
    ['UTF-16 LE in a big-endian block', exifJpeg(comment('UNICODE\0', utf16(INFOTEXT)))],
    ['UTF-16 BE in a little-endian block', exifJpeg(comment('UNICODE\0', utf16be(INFOTEXT), { little: true }))],
    ['UTF-16 with a mark', exifJpeg(comment('UNICODE\0', utf16(`\ufeff${INFOTEXT}`)))],
    ['UNICODE with UTF-8', exifJpeg(comment('UNICODE\0', utf8(INFOTEXT)))],
    ['ASCII with UTF-8', exifJpeg(comment('ASCII\0\0\0', utf8(INFOTEXT)))],
    ['an undefined code', exifJpeg(comment('\0'.repeat(8), utf8(INFOTEXT)))],
    ['JIS with UTF-8', exifJpeg(comment('JIS\0\0\0\0\0', utf8(INFOTEXT)))],
    ['no code', exifJpeg(comment('', utf8(INFOTEXT)))],
    ['no code, type ASCII', exifJpeg(comment('', utf8(`${INFOTEXT}\0`), { type: 2, little: true }))],
    ['no code, UTF-16', exifJpeg(comment('', utf16(INFOTEXT)))],
    ['ImageDescription', exifJpeg(exif([{ tag: DESCRIPTION, type: 2, value: utf8(`${INFOTEXT}\0`) }]))],
    ['XPComment', exifJpeg(exif([{ tag: XP_COMMENT, type: 1, value: utf16(`${INFOTEXT}\0`) }]))],
    ['JPEG comment', jpeg([0xfe, utf8(INFOTEXT)])],
    ['JPEG XMP', jpeg([0xe1, Buffer.concat([latin1('http://ns.adobe.com/xap/1.0/\0'), xmp(INFOTEXT)])])],
    ['WebP EXIF', webp('EXIF', comment('UNICODE\0', utf16be(INFOTEXT)))],
    ['WebP EXIF without code', webp('EXIF', comment('', utf8(INFOTEXT)))],
    ['WebP XMP', webp('XMP ', xmp(INFOTEXT))],
  ])('%s', async (_, file) => {
    expect(await readParameters(file)).toEqual({ source: 'A1111', parameters: EXPECTED, notTaken: [] })
  })

  test.each<[string, Blob]>([
    ['PNG tEXt', png(['tEXt', latin1(`parameters\0${LATIN}`)])],
    ['UserComment without code', exifJpeg(comment('', latin1(LATIN)))],
  ])('%s in Latin-1', async (_, file) => {
    expect((await readParameters(file))?.parameters.prompt).toBe('a café')
  })

  test('a UserComment in JIS', async () => {
    const prompt = Buffer.from('\x1b$BG-\x1b(B', 'latin1') // 猫
    const file = exifJpeg(comment('JIS\0\0\0\0\0', Buffer.concat([prompt, latin1(`\n${SETTINGS}`)])))
    expect((await readParameters(file))?.parameters.prompt).toBe('猫')
  })
})

describe('pixels', () => {
  test.each([
    ['stealth.png', 'A1111', 'a red apple, (masterpiece:1.2)', 42],
    ['stealth-novelai.png', 'NovelAI', 'a cat', 5],
  ])('parameters hidden in %s', async (name, source, prompt, seed) => {
    expect(await readParameters(fixture(name))).toMatchObject({ source, parameters: { prompt, seed } })
  })

  test('other pixels are read no further than the name', async () => {
    const ihdr = Buffer.alloc(13)
    ihdr.writeUInt32BE(1024, 0)
    ihdr.writeUInt32BE(32_768, 4)
    ihdr.set([8, 6], 8)
    const file = png(['IHDR', ihdr], ['IDAT', deflateSync(Buffer.alloc(134_250_496), { level: 1 })])
    const started = cpuMilliseconds()
    expect(await readParameters(file)).toBeNull()
    expect(cpuMilliseconds() - started).toBeLessThan(500)
  })

  test.each([0, 20, 60, 200])('a file that ends after %i bytes has none', async (size) => {
    const bytes = await fixture('stealth.png').arrayBuffer()
    expect(await readParameters(new Blob([bytes.slice(0, size)]))).toBeNull()
  })
})

test.each(['chinese.avif', 'xmp.avif'])('%s', async (name) => {
  expect((await readParameters(fixture(name)))?.parameters).toMatchObject({ prompt: '一只熊猫\n坐在沙发上', seed: 42 })
})

test('an AVIF with any bytes changed is no exception', async () => {
  const bytes = new Uint8Array(await fixture('chinese.avif').arrayBuffer())
  for (let at = 0; at < Math.min(bytes.length, 400); at++) {
    const changed = bytes.slice()
    changed[at] = 255
    await readParameters(new Blob([changed]))
  }
})

describe('hostile files', () => {
  test.each([
    ['words', 'a '.repeat(200_000)],
    ['spaces', `a cat\n${' \t'.repeat(200_000)}`],
    ['spaces in settings', `a cat\nSteps: 20,${' '.repeat(400_000)}x`],
    ['colons', `Steps: 1,${':'.repeat(400_000)}`],
    ['names', `Steps: 1,${'a: b,'.repeat(100_000)}`],
    ['open quotes', `Steps: 1,${'a: ",'.repeat(100_000)}"`],
    ['open brackets', `Steps: 1,${'a: {,'.repeat(100_000)}`],
    ['escapes', `Steps: 1, a: ${'\\"'.repeat(200_000)}`],
    ['lines', 'Steps:\n'.repeat(60_000)],
    ['digits', `Steps: ${'1'.repeat(400_000)}x, Seed: 1`],
    ['negative prompts', `${'Negative prompt: '.repeat(20_000)}\n${SETTINGS}`],
    ['a JSON object that does not end', '{"a": '.repeat(70_000)],
    ['JSON of escapes', `{${'\\"'.repeat(200_000)}`],
    ['markup', '<="'.repeat(130_000)],
  ])('%s are parsed in linear time', async (_, text) => {
    const started = cpuMilliseconds()
    await readParameters(textPng({ parameters: text, prompt: text, 'XML:com.adobe.xmp': text }))
    expect(cpuMilliseconds() - started).toBeLessThan(1500)
  })

  test('a text that inflates to 100 MB is not inflated, and is named', async () => {
    const started = cpuMilliseconds()
    const file = png(compressedChunk('parameters', Buffer.alloc(100_000_000, 'a')))
    const built = cpuMilliseconds()
    expect(await readParameters(file)).toMatchObject({ source: '', notTaken: [{ name: 'parameters' }] })
    expect(cpuMilliseconds() - built).toBeLessThan(Math.max(1000, built - started))
  })
})

describe('infotext', () => {
  const parse = (settings: string) => parseInfotext(`a cat\n${settings}`)

  test.each([
    ['no size', 'Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 5', {}],
    ['empty fields', 'Steps: , Sampler: Euler, CFG scale: , Seed: , Size: ', {}],
  ])('%s: a missing field stays missing', (_, settings) => {
    const { parameters, notTaken } = parse(settings) ?? {}
    expect(parameters).not.toHaveProperty('width')
    expect(Object.values(parameters ?? {})).not.toContain(0)
    expect(parameters).not.toContain(Number.NaN)
    expect(notTaken).toEqual([])
  })

  test('fields without an equal, and values that are no numbers, are named', () => {
    const settings =
      'Steps: 20, CFG scale: high, Seed: 5x, Size: big, Model: foo, Clip skip: two, Hashes: {"a": "b, c"}'
    expect(parse(settings)).toMatchObject({
      parameters: { num_inference_steps: 20 },
      notTaken: [
        { name: 'CFG scale', value: 'high' },
        { name: 'Seed', value: '5x' },
        { name: 'Size', value: 'big' },
        { name: 'Model', value: 'foo' },
        { name: 'Clip skip', value: 'two' },
        { name: 'Hashes', value: '{"a": "b, c"}' },
      ],
    })
  })

  test('seeds outside the limits are kept for the model’s check', () => {
    expect(parse('Steps: 20, Seed: -1')?.parameters.seed).toBe(-1)
    expect(parse('Steps: 20, Seed: 804822466654819')?.parameters.seed).toBe(804_822_466_654_819)
  })

  test.each([
    `${SETTINGS}\nTemplate: a {cat|dog}`,
    `${SETTINGS}\n\nTime taken: 3.1 sec.`,
    SETTINGS.replace(/, /g, '\n'),
    'Sampler: Euler\nSteps: 20\nCFG scale: 7\nSeed: 5\nSize: 512x768',
    'Sampler: Euler, Steps: 20, CFG scale: 7, Seed: 5, Size: 512x768',
    'steps: 20, sampler: Euler, cfg scale: 7, seed: 5, size: 512 x 768',
  ])('settings are found in %j', (settings) => {
    const { prompt, ...expected } = EXPECTED
    expect(parse(settings)?.parameters).toEqual({ ...expected, prompt: 'a cat', negative_prompt: '' })
  })

  test.each([
    // The steps that run are 8 of 20. Without their number, A1111 runs as many as in the first pass.
    ['Hires upscale: 2, Hires steps: 8, Hires upscaler: Lanczos', { scale: 2, strength: 0.4, steps: 20 }, []],
    ['Hires upscale: 1.5', { scale: 1.5, strength: 0.4, steps: 50 }, []],
    ['Hires upscale: 2, Hires steps: 1, Hires schedule: 3', { scale: 2, strength: 0.4, steps: 3 }, []],
    ['Hires upscale: 2, Hires upscaler: Latent', { scale: 2, strength: 0.4, steps: 50 }, ['Hires upscaler']],
    ['Hires resize: 1024x1024', undefined, ['Denoising strength', 'Hires resize']],
    ['Hires upscale: 2x, Hires steps: 8', undefined, ['Denoising strength', 'Hires upscale', 'Hires steps']],
    ['Hires upscale: 2, Hires steps: x', undefined, ['Denoising strength', 'Hires upscale', 'Hires steps']],
  ])('the second pass of %s', (settings, hires, notTaken) => {
    const stored = parse(`Steps: 20, Denoising strength: 0.4, ${settings}`)
    expect(stored?.parameters).not.toHaveProperty('strength')
    expect(stored?.parameters.hires).toEqual(hires)
    expect(stored?.notTaken.map(({ name }) => name)).toEqual(notTaken)
  })

  test('A1111 reads weights unasked, Easel where it says so, and Easel’s LoRAs are behind the prompt', () => {
    const syntax = (prompt: string, settings: string) =>
      parseInfotext(`${prompt}\nSteps: 20, ${settings}`)?.parameters.prompt_syntax
    expect([syntax('a (cat)', 'Seed: 1'), syntax('a \\(cat\\)', 'Seed: 1')]).toEqual(['weighted', undefined])
    expect(syntax('a (cat)', 'Version: Easel')).toBeUndefined()
    expect(syntax('a (cat)', 'Prompt syntax: weighted, Version: Easel')).toBe('weighted')
    const tagged =
      'a cat <lora:comic:0.9> <lora:flat:-1>\nSteps: 20, Model licence: MIT, Lora hashes: "comic: 12ab", Version: Easel'
    expect(parseInfotext(tagged)?.notTaken).toEqual([])
    expect(parseInfotext(tagged)?.parameters).toMatchObject({
      prompt: 'a cat',
      loras: [
        { id: 'comic', scale: 0.9 },
        { id: 'flat', scale: -1 },
      ],
    })
  })

  test.each([1, 2, 3, 7, 20, 33, 50])('a second pass of %d steps is read as it was written', (steps) => {
    for (const strength of [0.05, 0.3, 0.4, 0.5, 0.75, 1]) {
      const written = { ...PARAMETERS, clip_skip: 2, hires: { scale: 1.5, strength, steps } }
      expect(parseInfotext(renderInfotext(written, 'Emoji'))?.parameters).toMatchObject({
        clip_skip: 2,
        hires: written.hires,
      })
    }
  })
})

test.each([
  ['DPM++ 2M', 'Karras', 'dpmpp_2m_karras'],
  ['DPM++ 2M Karras', '', 'dpmpp_2m_karras'],
  ['DPM++ 2M', 'Automatic', 'dpmpp_2m_karras'],
  ['DPM++ 2M', 'Uniform', 'dpmpp_2m'],
  ['DPM++ 2M', '', 'dpmpp_2m'],
  ['Euler a', 'Automatic', 'euler_a'],
  ['DPM++ 2M SDE', 'Automatic', null],
  ['Euler', 'beta', null],
  ['dpmpp_2m', 'karras', 'dpmpp_2m_karras'],
  ['dpmpp_2m_k', '', 'dpmpp_2m_karras'],
  ['k_euler_ancestral', 'native', 'euler_a'],
  ['uni_pc', 'normal', 'unipc'],
  ['DPM++ 2M SDE', 'Karras', null],
  ['DPM++ 2M SDE Karras', '', null],
  ['DPM++ 2M SDE Heun', 'Karras', null],
  ['DPM++ 2M alt', 'Karras', null],
  ['DPM++ 2M', 'Exponential', null],
  ['Euler', 'Karras', null],
  ['LMS Karras', '', null],
  ['Euler a Turbo', '', null],
])('sampler %s with schedule %j is %s', (sampler, schedule, expected) => {
  expect(schedulerOf(sampler, schedule)).toBe(expected)
  const text = `a\nSteps: 2, Sampler: ${sampler}${schedule && `, Schedule type: ${schedule}`}`
  const stored = parseInfotext(text)
  expect(stored?.parameters.scheduler ?? null).toBe(expected)
  expect(stored?.notTaken.map(({ name }) => name)).toEqual(expected ? [] : ['Sampler'])
})

test.each([
  [
    '"a cat" -s 50 -S 3357757885 -W 512 -H 768 -C 7.5 -A k_lms -U 2',
    'InvokeAI',
    { prompt: 'a cat', seed: 3_357_757_885, num_inference_steps: 50, guidance_scale: 7.5, scheduler: 'lms' },
    ['-U'],
  ],
  ['"a -s 5 cat" -s20 -S5', 'InvokeAI', { prompt: 'a -s 5 cat', num_inference_steps: 20, seed: 5 }, []],
  [
    'a cat -- and a dog --ar 3:2 --no fur --v 6.0 Job ID: 01234567-89ab-cdef-0123-456789abcdef',
    'Midjourney',
    { prompt: 'a cat -- and a dog' },
    ['--ar', '--no', '--v'],
  ],
])('the command line %s', async (text, source, parameters, rejected) => {
  const stored = await readParameters(textPng({ [source === 'InvokeAI' ? 'Dream' : 'Description']: text }))
  expect(stored).toMatchObject({ source, parameters })
  expect(stored?.notTaken.map(({ name }) => name)).toEqual(rejected)
})

test('the infotext of Fooocus names the schedule as Scheduler', () => {
  const parse = (sampler: string, scheduler: string) =>
    parseInfotext(`a\nSteps: 3, Sampler: ${sampler}, Seed: 1, Scheduler: ${scheduler}, Version: Fooocus v2.5.5`)
  expect(parse('DPM++ 2M Karras', 'karras')).toMatchObject({
    source: 'Fooocus',
    parameters: { scheduler: 'dpmpp_2m_karras' },
  })
  expect(parse('Euler', 'karras')?.parameters).not.toHaveProperty('scheduler')
  expect(parse('Euler', 'karras')?.notTaken).toContainEqual({ name: 'Sampler', value: 'Euler, karras' })
})

describe('JSON of other tools', () => {
  const names = (notTaken: { name: string }[] = []) => notTaken.map(({ name }) => name)

  test.each(['cfg_scale', 'guidance'])('InvokeAI with %s', async (guidance) => {
    const metadata = {
      app_version: '5.0',
      positive_prompt: 'a cat',
      negative_prompt: 'blurry',
      width: 512,
      height: 768,
      seed: 5,
      [guidance]: 7,
      steps: 20,
      scheduler: 'euler',
      model: { name: 'foo' },
    }
    const stored = await readParameters(textPng({ invokeai_metadata: JSON.stringify(metadata) }))
    expect(stored).toMatchObject({ source: 'InvokeAI', parameters: { ...EXPECTED, prompt: 'a cat' } })
    expect(names(stored?.notTaken)).toEqual(['app_version', 'model'])
  })

  test('NovelAI', async () => {
    const metadata = {
      prompt: 'a cat',
      uc: 'blurry',
      steps: 20,
      scale: 7,
      seed: 5,
      width: 512,
      height: 768,
      sampler: 'k_dpmpp_2m_sde',
      noise_schedule: 'karras',
      sm: false,
    }
    const texts = { Software: 'NovelAI', Description: 'a cat', Comment: JSON.stringify(metadata) }
    const { scheduler, ...expected } = EXPECTED
    expect(await readParameters(textPng(texts))).toEqual({
      source: 'NovelAI',
      parameters: { ...expected, prompt: 'a cat' },
      notTaken: [
        { name: 'sampler', value: 'k_dpmpp_2m_sde, karras' },
        { name: 'sm', value: 'false' },
      ],
    })
  })

  test('Draw Things', async () => {
    const metadata = { c: 'a cat', uc: 'blurry', seed: 5, steps: 20, scale: 7, size: '512x768', strength: 1 }
    const json = JSON.stringify({ ...metadata, sampler: 'Euler A', model: 'x.ckpt', v2: { seed: 5 } })
    const description = 'a cat\n-blurry\nSteps: 20, Sampler: Euler A, Guidance Scale: 7.0, Seed: 5, Size: 512x768'
    const packet = `<dc:description>${description}</dc:description>${xmp(json).toString()}`
    expect(await readParameters(textPng({ 'XML:com.adobe.xmp': packet }))).toEqual({
      source: 'Draw Things',
      parameters: { ...EXPECTED, prompt: 'a cat', scheduler: 'euler_a' },
      notTaken: [
        { name: 'model', value: 'x.ckpt' },
        { name: 'v2', value: '{"seed":5}' },
      ],
    })
  })

  test('Fooocus', async () => {
    const metadata = {
      prompt: 'a cat',
      negative_prompt: 'blurry',
      resolution: '(512, 768)',
      sampler: 'euler',
      scheduler: 'normal',
      seed: '5',
      steps: 20,
      guidance_scale: 7,
      metadata_scheme: 'fooocus',
      sharpness: 2,
    }
    const expected = { source: 'Fooocus', parameters: { ...EXPECTED, prompt: 'a cat' } }
    const json = JSON.stringify(metadata)
    const stored = await readParameters(textPng({ parameters: json, fooocus_scheme: 'fooocus' }))
    expect(stored).toMatchObject(expected)
    expect(names(stored?.notTaken)).toEqual(['sharpness'])
    expect(await readParameters(exifJpeg(comment('', utf8(json), { type: 2 })))).toMatchObject(expected)
  })

  const sampler = {
    seed: 5,
    steps: 20,
    cfg: 7,
    sampler_name: 'euler',
    scheduler: 'normal',
    denoise: 1,
    model: ['4', 0],
    positive: ['6', 0],
    negative: ['7', 0],
    latent_image: ['5', 0],
  }
  const graph = {
    3: { class_type: 'KSampler', inputs: sampler },
    4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'foo' } },
    5: { class_type: 'EmptyLatentImage', inputs: { width: 512, height: 768, batch_size: 1 } },
    6: { class_type: 'CLIPTextEncode', inputs: { text: 'a cat', clip: ['4', 1] } },
    7: { class_type: 'CLIPTextEncode', inputs: { text: 'blurry', clip: ['4', 1] } },
    8: { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
  }

  test('ComfyUI', async () => {
    const expected = {
      source: 'ComfyUI',
      parameters: { ...EXPECTED, prompt: 'a cat' },
      notTaken: [{ name: 'CheckpointLoaderSimple (4)', value: 'ckpt_name: foo' }],
    }
    const json = JSON.stringify(graph)
    expect(await readParameters(textPng({ prompt: json, workflow: '{"nodes": []}' }))).toEqual(expected)
    expect(await readParameters(textPng({ prompt: json.replace('"seed":5', '"x":NaN,"seed":5') }))).toMatchObject({
      parameters: { seed: 5 },
    })
    const block = exif([
      { tag: MAKE, type: 2, value: utf8('workflow:{"nodes": []}\0') },
      { tag: MODEL, type: 2, value: utf8(`prompt:${json}\0`) },
    ])
    expect(await readParameters(webp('EXIF', block))).toEqual(expected)
  })

  test('ComfyUI with a second sampler takes the first, and names the second', async () => {
    const second = { class_type: 'KSampler', inputs: { ...sampler, seed: 6, denoise: 0.5, latent_image: ['3', 0] } }
    const stored = await readParameters(textPng({ prompt: JSON.stringify({ ...graph, 9: second }) }))
    expect(stored?.parameters.seed).toBe(5)
    expect(names(stored?.notTaken)).toContain('KSampler (9)')
  })

  test('ComfyUI without a sampler that is known takes nothing, and names the nodes', async () => {
    const custom = { ...graph, 3: { class_type: 'SamplerCustom', inputs: sampler } }
    const stored = await readParameters(textPng({ prompt: JSON.stringify(custom) }))
    expect(stored?.parameters).toEqual({})
    expect(names(stored?.notTaken)).toContain('SamplerCustom (3)')
  })

  test('a workflow alone is named', async () => {
    const stored = await readParameters(textPng({ workflow: '{"nodes": [{}]}' }))
    expect(stored).toMatchObject({ source: 'ComfyUI', parameters: {}, notTaken: [{ name: 'workflow' }] })
  })

  test('other JSON is no settings', async () => {
    expect(await readParameters(textPng({ Comment: '{"a": 1}', Description: '[1]' }))).toBeNull()
  })
})
