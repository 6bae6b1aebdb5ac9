import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  applyParameters,
  applyPreset,
  changedSettings,
  emptyDraft,
  fittingSize,
  pixelSteps,
  resetSettings,
  resolveSettings,
  toRequest,
  validate,
  type Draft,
} from '@/request/draft'
import { toControls } from '@/control/controls'
import { hiresSize } from '@/request/hires'
import { estimateTokens } from '@/request/prompt/estimateTokens'
import { hasToken, withoutToken, withToken } from '@/request/prompt/tokens'
import { aspectRatio } from '@/request/fields/aspectRatio'
import { emptyEdit, hasMask, type Edit, type MaskStep } from '@/inpaint/edit'
import { decodedBytes, firstWithin } from '@/inpaint/encodeStart'
import { createModel } from './data'
import type { Model } from '@/api/types'

const MODEL = createModel()
const createDraft = (changes: Partial<Draft> = {}): Draft => ({ ...emptyDraft(), prompt: 'a red apple', ...changes })

describe('resolveSettings', () => {
  test('fills in the model’s defaults', () => {
    expect(resolveSettings(createDraft(), MODEL)).toMatchObject({
      width: 512,
      height: 512,
      num_inference_steps: 20,
      scheduler: 'dpmpp_2m',
    })
  })

  test('replaces values that the model does not accept', () => {
    const settings = resolveSettings(createDraft({ width: 2048, scheduler: 'lcm', num_inference_steps: 151 }), MODEL)
    expect(settings).toMatchObject({ width: 512, scheduler: 'dpmpp_2m', num_inference_steps: 20 })
  })

  test('limits the steps by the scheduler', () => {
    const draft = createDraft({ scheduler: 'euler', num_inference_steps: 16 })
    expect(resolveSettings(draft, MODEL).num_inference_steps).toBe(15)
    expect(resolveSettings({ ...draft, num_inference_steps: 14 }, MODEL).num_inference_steps).toBe(14)
  })

  test('accepts both bounds', () => {
    const settings = resolveSettings(createDraft({ num_inference_steps: 150, guidance_scale: 0 }), MODEL)
    expect(settings).toMatchObject({ num_inference_steps: 150, guidance_scale: 0 })
  })
})

describe('validate', () => {
  const code = (changes: Partial<Draft>) => validate(resolveSettings(createDraft(changes), MODEL), MODEL, null)?.code

  test('requires a prompt', () => {
    expect(code({ prompt: ' \n' })).toBe('empty_prompt')
  })

  test('counts characters as the API does', () => {
    expect(code({ prompt: '🍎'.repeat(2000) })).toBeUndefined()
    expect(code({ prompt: '🍎'.repeat(2001) })).toBe('long_prompt')
  })

  test('counts the negative prompt too', () => {
    expect(code({ negative_prompt: 'x'.repeat(2001) })).toBe('long_prompt')
  })

  test('requires sides that are multiples of 8', () => {
    expect(code({ width: 516 })).toBe('not_multiple_of_8')
  })

  test('accepts the largest number of pixel-steps', () => {
    const settings = resolveSettings(createDraft({ num_inference_steps: 100 }), MODEL)
    expect(pixelSteps(settings, MODEL, null)).toBe(MODEL.bounds.max_pixel_steps)
    expect(code({ num_inference_steps: 100 })).toBeUndefined()
    expect(code({ num_inference_steps: 101 })).toBe('job_too_large')
  })

  const goldenMessages: { body: string; code: string }[] = JSON.parse(
    readFileSync(`${import.meta.dirname}/../../examples/rejected.json`, 'utf8'),
  )

  test.each(goldenMessages.filter((message) => message.code === 'job_too_large'))(
    'rejects jobs that the API rejects as too large: $body',
    ({ body }) => {
      const { prompt, num_images_per_prompt = 1, ...rest } = JSON.parse(body)
      const images = num_images_per_prompt * [prompt].flat().length
      expect(code({ ...rest, num_images_per_prompt: images })).toBe('job_too_large')
    },
  )

  test.each([
    [1, 100],
    [0.5, 50],
    [0.07, 7],
    [0.01, 1],
  ])('with an init image, strength %f of 100 steps costs %i steps', (strength, steps) => {
    const settings = resolveSettings(createDraft({ num_inference_steps: 100, strength }), MODEL)
    expect(pixelSteps(settings, MODEL, { edit: null })).toBe(512 * 512 * steps)
    const bounds = { ...MODEL.bounds, max_pixel_steps: 512 * 512 * steps - 1 }
    expect(validate(settings, createModel({ bounds }), { edit: null })?.code).toBe('job_too_large')
  })
})

describe('a part of the init image', () => {
  const margins = { left: 0, right: 64, top: 8, bottom: 0 }
  const edit = (changes: Partial<Edit> = {}) => ({ ...emptyEdit(), ...changes })
  const stroke = (erases = false): MaskStep => ({ kind: 'stroke', erases, radius: 9, points: [1, 2] })

  test('the request has the size of the result, the margins, and the strength 1 unless it is set', () => {
    const images = { init_image: 'aGk=', mask_image: 'aGk=' }
    const request = toRequest(createDraft(), MODEL, { edit: edit({ margins, blur: 9 }), images })
    expect(request).toMatchObject({ ...images, width: 576, height: 520, strength: 1, outpaint: margins, mask_blur: 9 })
    const masked = toRequest(createDraft({ strength: 0.3 }), MODEL, { edit: edit({ steps: [stroke()] }), images })
    expect(masked).toMatchObject({ width: 512, strength: 0.3, mask_blur: 4 })
    expect(masked).not.toHaveProperty('outpaint')
  })

  test('margins count in the cost and in the size', () => {
    const settings = resolveSettings(createDraft({ num_inference_steps: 10, strength: 1 }), MODEL)
    expect(pixelSteps(settings, MODEL, { edit: edit({ margins }) })).toBe(576 * 520 * 10)
    const code = (right: number) =>
      validate({ ...settings, prompt: 'a' }, MODEL, { edit: edit({ margins: { ...margins, right } }) })?.code
    expect([code(768 - 512), code(768 - 512 + 8)]).toEqual([undefined, 'large_margins'])
  })

  test.each([
    [{ width: 512, height: 768 }, {}, { width: 512, height: 768 }],
    [{ width: 517, height: 771 }, {}, { width: 512, height: 768 }],
    [{ width: 4000, height: 3000 }, {}, { width: 768, height: 576 }],
    [{ width: 768, height: 768 }, { right: 256 }, { width: 512, height: 512 }],
    [{ width: 20, height: 20 }, {}, { width: 64, height: 64 }],
  ])('an image of %j with the margins %j is taken as %j', (image, sides, size) => {
    expect(fittingSize(image, MODEL, { ...emptyEdit().margins, ...sides })).toEqual(size)
  })

  test.each<[boolean, Partial<Edit>]>([
    [false, {}],
    [false, { steps: [stroke(true)] }],
    [true, { steps: [stroke()] }],
    [false, { steps: [stroke(), { kind: 'clear' }] }],
    [true, { steps: [stroke(), { kind: 'clear' }, { kind: 'invert' }] }],
    [true, { base: 'aGk=' }],
    [false, { base: 'aGk=', steps: [{ kind: 'clear' }] }],
  ])('there is a mask: %j, after %j', (expected, changes) => {
    expect(hasMask(edit(changes))).toBe(expected)
  })
})

describe('a second pass, and clip_skip', () => {
  const model = createModel({ features: ['hires', 'clip_skip'] })
  const pass = { scale: 1.5, strength: 0.5, steps: null }
  const draft = createDraft({ num_inference_steps: 10, clip_skip: 2, hires: pass })

  test('are sent where the model has them, and not a second pass with an init image', () => {
    const hires = { scale: 1.5, strength: 0.5, steps: 10 }
    expect(toRequest(draft, model, null)).toMatchObject({ width: 512, clip_skip: 2, hires })
    const from = { edit: null, images: { init_image: 'aGk=' } }
    expect(toRequest(draft, model, from)).not.toHaveProperty('hires')
    expect(Object.keys(toRequest(draft, MODEL, null))).not.toEqual(expect.arrayContaining(['hires', 'clip_skip']))
    expect(changedSettings(draft, model)).toEqual(['num_inference_steps', 'clip_skip', 'hires'])
  })

  test('cost what the API counts, and the result has its limit', () => {
    const settings = resolveSettings(draft, model)
    expect(pixelSteps(settings, model, null)).toBe(512 * 512 * 10 + 768 * 768 * 5)
    const limited = (max_pixel_steps: number) => createModel({ bounds: { ...model.bounds, max_pixel_steps } })
    const cost = 512 * 512 * 10 + 768 * 768 * 5
    expect(validate(settings, limited(cost), null)).toBeNull()
    expect(validate(settings, limited(cost - 1), null)?.code).toBe('job_too_large')
    const larger = { ...settings, hires: { scale: 1.51, strength: 0.5, steps: 1 } }
    expect(validate(larger, model, null)).toMatchObject({ code: 'large_hires', param: 'hires' })
    expect(hiresSize({ width: 200, height: 128, hires: { scale: 1.5, strength: 1, steps: 1 } })).toEqual({
      width: 304, // 300 is half-way
      height: 192,
    })
  })

  test.each([
    ['clip_skip', 12, true],
    ['clip_skip', 13, false],
    ['clip_skip', 0, false],
    ['hires', { scale: 2, strength: 0.01, steps: 150 }, true],
    ['hires', { scale: 2.01, strength: 0.5, steps: 10 }, false],
    ['hires', { scale: 1.49, strength: 0.5, steps: 10 }, false],
    ['hires', { scale: 2, strength: 0.5, steps: 151 }, false],
    ['hires', { scale: 2, strength: 0.5, steps: 1.5 }, false],
  ])('%s of %j is accepted: %j', (name, value, isAccepted) => {
    expect(applyParameters(createDraft(), { [name]: value }, model)).toEqual(isAccepted ? [] : [name])
  })

  test('other parameters with a prompt end them', () => {
    const changed = { ...draft }
    applyParameters(changed, { prompt: 'a cat' }, model)
    expect(changed).toMatchObject({ clip_skip: null, hires: null })
  })
})

describe('controls', () => {
  const entry = { name: 'Edges', name_in: {}, scale: 1, preprocess: 'canny' as const }
  const model = createModel({ controls: ['edges', 'depth', 'pose'].map((id) => ({ ...entry, id })) })
  const control = (id: string, changes = {}) => ({ id, scale: 1, start: 0, end: 1, ...changes })

  test('are those of the model, no more than a request may have, and none with images to look at', () => {
    const draft = createDraft({ control: [control('edges'), control('other'), control('depth'), control('pose')] })
    const ids = resolveSettings(draft, model).control.map(({ id }) => id)
    expect(ids).toEqual(['edges', 'depth'])
    const sources = [{ width: 64, height: 64 }]
    expect(resolveSettings(draft, model, { edit: null, sources }).control).toEqual([])
    expect(resolveSettings(draft, MODEL).control).toEqual([])
  })

  test('are left out with what the model does not take together with them', () => {
    const hires = { scale: 2, strength: 0.5, steps: 4 }
    const draft = createDraft({ control: [control('edges', { start: 0.5 })], hires, strength: 0.5 })
    const features: Model['features'] = ['image_to_image', 'inpaint', 'hires']
    const limited = createModel({ ...model, features, control_without: ['init_image', 'strength', 'hires', 'range'] })
    const part = { edit: { ...emptyEdit(), margins: { left: 64, right: 0, top: 0, bottom: 0 } } }
    expect(resolveSettings(draft, limited)).toMatchObject({ control: [control('edges')], hires: null })
    expect(resolveSettings(draft, limited, { edit: null })).toMatchObject({ control: [], strength: 0.5 })
    expect(resolveSettings(draft, limited, part)).toMatchObject({ control: [control('edges')], strength: 1 })
    const textOnly = createModel({ ...limited, control_without: ['init_image', 'mask_image'] })
    expect(resolveSettings(draft, textOnly, part).control).toEqual([])
    expect(resolveSettings(createDraft({ hires }), limited).hires).toMatchObject(hires)
    expect(applyParameters(createDraft(), { control: draft.control }, limited)).toEqual(['control'])
  })

  test('cost what the API counts', () => {
    const draft = createDraft({ num_inference_steps: 10, control: [control('edges'), control('depth')] })
    const cost = (512 * 512 * 10 * (100 + 2 * model.bounds.control_cost_percent)) / 100
    expect(pixelSteps(resolveSettings(draft, model), model, null)).toBe(cost)
  })

  test.each([
    [{ scale: 2 }, true],
    [{ scale: 2.01 }, false],
    [{ scale: -0.01 }, false],
    [{ start: 0.5, end: 0.5 }, false],
    [{ end: 1.01 }, false],
    [{ id: 'other' }, false],
  ])('with %j is accepted: %j', (changes, isAccepted) => {
    const parameters = { control: [control('edges', changes)] }
    expect(applyParameters(createDraft(), parameters, model)).toEqual(isAccepted ? [] : ['control'])
  })

  test('of a record are read with the API’s defaults', () => {
    expect(toControls([{ id: 'edges', image: 'sha256:1', scale: 1, preprocess: 'canny' }, { id: 7 }, null])).toEqual([
      control('edges', { preprocess: 'canny' }),
    ])
  })
})

test('a negative prompt is kept, but not sent to a model that takes none', () => {
  const model = createModel({ takes_negative_prompt: false })
  const draft = createDraft({ negative_prompt: 'fog' })
  expect(toRequest(draft, model, null)).toMatchObject({ negative_prompt: '' })
  expect(changedSettings(draft, model)).not.toContain('negative_prompt')
  expect(draft.negative_prompt).toBe('fog')
  expect(applyParameters(draft, { prompt: 'a cat', negative_prompt: 'rain' }, model)).toEqual(['negative_prompt'])
  expect(applyParameters(draft, { prompt: 'a cat', negative_prompt: '' }, model)).toEqual([])
  const settings = { width: null, height: null, num_inference_steps: 5, guidance_scale: null, scheduler: null }
  const preset = { ...settings, name: 'Photo', name_in: {}, negative_prompt: 'rain' }
  expect(applyPreset(draft, preset, model)).toEqual(['negative_prompt'])
  expect(applyPreset(draft, { ...preset, negative_prompt: null }, model)).toEqual([])
  resetSettings(draft, model)
  expect(draft.negative_prompt).toBe('fog')
})

test('guidance is kept, but not sent to a model that takes none', () => {
  const model = createModel({ takes_guidance_scale: false })
  const { guidance_scale } = model.defaults
  const draft = createDraft({ guidance_scale: guidance_scale + 1 })
  expect(toRequest(draft, model, null)).toMatchObject({ guidance_scale })
  expect(changedSettings(draft, model)).not.toContain('guidance_scale')
  expect(draft.guidance_scale).toBe(guidance_scale + 1)
  expect(applyParameters(draft, { prompt: 'a cat', guidance_scale: guidance_scale + 2 }, model)).toEqual([
    'guidance_scale',
  ])
  expect(applyParameters(draft, { prompt: 'a cat', guidance_scale }, model)).toEqual([])
})

test('flagged images are asked for only where the service returns them', () => {
  const draft = createDraft({ content: 'flag' })
  expect(toRequest(draft, MODEL, null)).not.toHaveProperty('content')
  const model = createModel({ content: ['refuse', 'flag'] })
  expect(toRequest(draft, model, null)).toHaveProperty('content', 'flag')
  expect(changedSettings(draft, model)).toEqual(['content'])
})

describe('LoRAs', () => {
  const lora = (id: string, changes: Partial<Model['loras'][number]> = {}) => ({
    ...{ id, name: id, name_in: {}, scale: 1, words: [], scheduler: null, num_inference_steps: null },
    ...{ guidance_scale: null, ...changes },
  })
  const model = createModel({
    loras: ['a', 'b', 'c', 'd', 'e'].map((id, i) => lora(id, { num_inference_steps: i || null })),
  })
  const chosen = (...ids: string[]) => ids.map((id) => ({ id, scale: 0.5 }))

  test('bring their settings as defaults, the first that has one, and are sent if the model has them', () => {
    const draft = createDraft({ loras: chosen('a', 'c', 'b', 'unknown') })
    expect(toRequest(draft, model, null)).toMatchObject({ loras: chosen('a', 'c', 'b'), num_inference_steps: 2 })
    expect(toRequest(draft, MODEL, null)).not.toHaveProperty('loras')
    expect(changedSettings(draft, model)).toEqual([])
  })

  test('are at most four, and each costs a tenth', () => {
    const settings = resolveSettings(createDraft({ loras: chosen('a', 'b', 'c', 'd', 'e') }), model)
    expect(settings.loras).toHaveLength(4)
    expect(pixelSteps({ ...settings, num_inference_steps: 10 }, model, null)).toBe(512 * 512 * 14)
  })

  test('of loaded parameters replace those before, unless the model lacks one', () => {
    const draft = createDraft({ loras: chosen('b') })
    expect(applyParameters(draft, { prompt: 'x', loras: chosen('a') }, model)).toEqual([])
    expect(draft.loras).toEqual(chosen('a'))
    expect(applyParameters(draft, { prompt: 'x', loras: chosen('a', 'unknown') }, model)).toEqual(['loras'])
    expect(draft.loras).toEqual([])
  })
})

describe('encoding of the init image', () => {
  test.each([
    [3, 'AAAA'],
    [2, 'AAA='],
    [1, 'AA=='],
    [0, ''],
  ])('%i bytes are counted without base64', (bytes, base64) => {
    expect(decodedBytes(base64)).toBe(bytes)
  })

  test('the first encoding within the limit is used, the limit included', () => {
    const limit = MODEL.bounds.init_image_bytes
    const base64 = (bytes: number) => Buffer.alloc(bytes).toString('base64')
    const [above, equal, below] = [base64(limit + 1), base64(limit), base64(limit - 1)]
    expect(firstWithin(limit, [above, equal, below]) === equal).toBe(true)
    expect(firstWithin(limit - 1, [above, equal, below]) === below).toBe(true)
    expect(() => firstWithin(limit - 2, [above, equal, below])).toThrow(RangeError)
  })

  test('nothing is encoded after the first fit', () => {
    function* encodings() {
      yield 'AAAA'
      yield 'AAA='
      throw new Error('encoded once more')
    }
    expect(firstWithin(2, encodings())).toBe('AAA=')
  })
})

describe('toRequest', () => {
  test('sends a locked seed only', () => {
    expect(toRequest(createDraft({ seed: 7 }), MODEL, null)).not.toHaveProperty('seed')
    expect(toRequest(createDraft({ seed: 7, seedLocked: true }), MODEL, null)).toHaveProperty('seed', 7)
  })

  test('leaves out fields of features that the model does not have', () => {
    const request = toRequest(createDraft({ strength: 0.5 }), MODEL, null)
    expect(Object.keys(request)).not.toContain('embed_parameters')
    expect(Object.keys(request)).not.toContain('strength')
  })

  test('sends the init image with its strength, and embeds parameters', () => {
    const model = createModel({ features: ['embed_parameters', 'image_to_image'] })
    const request = toRequest(createDraft(), model, { edit: null, images: { init_image: 'aGk=' } })
    expect(request).toMatchObject({ embed_parameters: true, init_image: 'aGk=', strength: 0.8 })
  })
})

describe('applyParameters', () => {
  test('copies all parameters and locks the seed', () => {
    const draft = createDraft({ negative_prompt: 'old' })
    expect(applyParameters(draft, { prompt: 'a cat', seed: 42, width: 768 }, MODEL)).toEqual([])
    expect(draft).toMatchObject({ prompt: 'a cat', negative_prompt: '', seed: 42, seedLocked: true, width: 768 })
  })

  test('leaves what the file does not have', () => {
    const draft = createDraft({ width: 768, seed: 5, seedLocked: true, negative_prompt: 'old' })
    expect(applyParameters(draft, { num_inference_steps: 7 }, MODEL)).toEqual([])
    expect(draft).toMatchObject({
      prompt: 'a red apple',
      negative_prompt: 'old',
      width: 768,
      seed: 5,
      seedLocked: true,
    })
  })

  test.each([
    ['seed', -1],
    ['seed', 804_822_466_654_819],
    ['seed', 1.5],
    ['width', 4096],
    ['height', 516],
    ['num_inference_steps', 0],
    ['num_inference_steps', 151],
    ['num_inference_steps', 20.5],
    ['guidance_scale', 31],
    ['strength', 0.5], // the model has no init image
    ['scheduler', 'DPM2 a'],
    ['output_format', 'avif'],
  ])('names %s %s as not accepted and leaves the draft', (name, value) => {
    const draft = createDraft()
    expect(applyParameters(draft, { [name]: value }, MODEL)).toEqual([name])
    expect(draft).toEqual(createDraft())
  })

  test('limits the steps by the scheduler that is loaded', () => {
    expect(applyParameters(createDraft(), { scheduler: 'euler', num_inference_steps: 16 }, MODEL)).toEqual([
      'num_inference_steps',
    ])
    expect(applyParameters(createDraft({ scheduler: 'euler' }), { num_inference_steps: 16 }, MODEL)).toHaveLength(1)
  })
})

test.each([
  [1024, 1024, '1:1'],
  [1344, 768, '16:9'],
  [768, 1344, '9:16'],
  [896, 1152, '3:4'],
  [640, 200, '16:5'],
])('the aspect ratio of %d × %d is %s', (width, height, name) => {
  expect(aspectRatio({ width, height })).toBe(name)
})

test.each([
  ['', 0],
  ['a red apple', 3],
  ['一只熊猫', 8],
  ['masterpiece, 8k', 5],
])('%j has about %d tokens', (text, tokens) => {
  expect(estimateTokens(text)).toBe(tokens)
})

describe('tokens of embeddings', () => {
  test.each([
    ['a TOY car', 'toy', true],
    ['a toys', 'toy', false],
    ['an atoy', 'toy', false],
    ['a<cat-toy>b', '<cat-toy>', true],
    ['bad-hands.', 'bad-hands', true],
    ['badxhands', 'bad.hands', false],
    ['', 'toy', false],
  ])('%j has %j: %s', (text, token, found) => {
    expect(hasToken(text, token, [token])).toBe(found)
  })

  test.each([
    ['', 'toy'],
    ['a cat', 'a cat, toy'],
  ])('inserted into %j: %j', (text, inserted) => {
    expect(withToken(text, 'toy')).toBe(inserted)
    expect(withoutToken(inserted, 'toy', ['toy'])).toBe(text)
  })

  test.each([
    ['toy, a cat', 'a cat'],
    ['a toy cat', 'a cat'],
    ['a cat, (toy:1.3), red', 'a cat, red'],
    ['(a cat, Toy)', '(a cat)'],
    ['  toys ', '  toys '],
  ])('removed from %j: %j', (text, removed) => {
    expect(withoutToken(text, 'toy', ['toy'])).toBe(removed)
  })

  test('a token that is a part of another is found only where the other is not', () => {
    const tokens = ['bad', 'bad-hands']
    expect(hasToken('(Bad-hands:1.2)', 'bad', tokens)).toBe(false)
    expect(withoutToken('(bad:0.8), (bad-hands:1.2), bad', 'bad', tokens)).toBe('(bad-hands:1.2)')
  })
})
