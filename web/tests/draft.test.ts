import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Model } from '@/api/types'
import { check, cost, emptyDraft, settle, takeOver, toRequest, type Draft } from '@/draft'
import { aModel } from './fakes'
import { bestWithin, decodedBytes } from '@/composables/useStartPicture'

const draftOf = (changes: Partial<Draft>): Draft => ({ ...emptyDraft(), prompt: 'a red apple', ...changes })
const withFeatures = (...features: string[]) => ({ ...aModel(), features }) as Model

describe('settle', () => {
  test('what is open gets the model’s default', () => {
    expect(settle(draftOf({}), aModel())).toMatchObject({ width: 512, height: 512, num_inference_steps: 20, scheduler: 'dpmpp_2m' })
  })

  test('what this model does not take gives way to its default', () => {
    const settings = settle(draftOf({ width: 2048, scheduler: 'lcm', num_inference_steps: 151 }), aModel())
    expect(settings).toMatchObject({ width: 512, scheduler: 'dpmpp_2m', num_inference_steps: 20 })
  })

  test('both ends are allowed', () => {
    expect(settle(draftOf({ num_inference_steps: 150, guidance_scale: 0 }), aModel())).toMatchObject({ num_inference_steps: 150, guidance_scale: 0 })
  })
})

describe('check', () => {
  const problem = (changes: Partial<Draft>) => check(settle(draftOf(changes), aModel()), aModel(), false)?.code

  test('a prompt is needed', () => expect(problem({ prompt: ' \n' })).toBe('empty_prompt'))
  test('characters are counted as the API counts them', () => {
    expect(problem({ prompt: '🍎'.repeat(2000) })).toBeUndefined()
    expect(problem({ prompt: '🍎'.repeat(2001) })).toBe('long_prompt')
  })
  test('sides lie on the grid', () => expect(problem({ width: 516 })).toBe('off_grid'))
  test('the budget is the most', () => {
    expect(cost(settle(draftOf({ num_inference_steps: 100 }), aModel()), false)).toBe(aModel().bounds.budget)
    expect(problem({ num_inference_steps: 100 })).toBeUndefined()
    expect(problem({ num_inference_steps: 101 })).toBe('job_too_large')
  })
})

describe('golden messages', () => {
  const messages: { body: string; code: string }[] = JSON.parse(readFileSync(`${import.meta.dirname}/../../examples/rejected.json`, 'utf8'))
  const tooLarge = messages.filter(({ code }) => code === 'job_too_large')

  test.each(tooLarge)('too large here as there: $body', ({ body }) => {
    const { prompt, num_images_per_prompt = 1, ...rest } = JSON.parse(body)
    const draft = draftOf({ ...rest, num_images_per_prompt: num_images_per_prompt * [prompt].flat().length })
    expect(check(settle(draft, aModel()), aModel(), false)?.code).toBe('job_too_large')
  })
})

test.each([[1, 100], [0.5, 50], [0.07, 7], [0.01, 1]])('from a picture on, strength %f of 100 steps costs %i', (strength, steps) => {
  const settings = settle(draftOf({ num_inference_steps: 100, strength }), aModel())
  expect(cost(settings, true)).toBe(512 * 512 * steps)
  const tight = { ...aModel(), bounds: { ...aModel().bounds, budget: 512 * 512 * steps - 1 } }
  expect(check(settings, tight, true)?.code).toBe('job_too_large')
})

test.each([[3, 'AAAA'], [2, 'AAA='], [1, 'AA=='], [0, '']])('%i bytes of a picture are counted before base64', (bytes, base64) => {
  expect(decodedBytes(base64)).toBe(bytes)
})

test('the best file within the limit is sent, and the limit itself is within', () => {
  const limit = aModel().bounds.init_image_bytes
  const file = (bytes: number) => Buffer.alloc(bytes).toString('base64')
  const [above, at, below] = [file(limit + 1), file(limit), file(limit - 1)]
  expect(bestWithin(limit, [above, at, below]) === at).toBe(true)
  expect(bestWithin(limit - 1, [above, at, below]) === below).toBe(true)
  expect(() => bestWithin(limit - 2, [above, at, below])).toThrow(RangeError)
})

test('no file is made after the one that fits', () => {
  function* files() {
    yield 'AAAA'
    yield 'AAA='
    throw new Error('made one more')
  }
  expect(bestWithin(2, files())).toBe('AAA=')
})

describe('toRequest', () => {
  test('an open seed is left to the API, a kept one is sent', () => {
    expect(toRequest(draftOf({ seed: 7 }), aModel(), null)).not.toHaveProperty('seed')
    expect(toRequest(draftOf({ seed: 7, seedLocked: true }), aModel(), null)).toHaveProperty('seed', 7)
  })

  test('what the service does not know yet is not sent', () => {
    const request = toRequest(draftOf({ strength: 0.5 }), aModel(), null)
    expect(Object.keys(request)).not.toContain('embed_parameters')
    expect(Object.keys(request)).not.toContain('strength')
  })

  test('parameters go into the file, and a picture to start from with its strength', () => {
    const request = toRequest(draftOf({}), withFeatures('embed_parameters', 'image_to_image'), 'aGk=')
    expect(request).toMatchObject({ embed_parameters: true, init_image: 'aGk=', strength: 0.8 })
  })
})

describe('takeOver', () => {
  test('takes everything and keeps the seed', () => {
    const draft = draftOf({ negative_prompt: 'old' })
    expect(takeOver(draft, { prompt: 'a cat', seed: 42, width: 768 }, aModel())).toEqual([])
    expect(draft).toMatchObject({ prompt: 'a cat', negative_prompt: '', seed: 42, seedLocked: true, width: 768 })
  })

  test('names what this model refuses', () => {
    expect(takeOver(draftOf({}), { prompt: 'a cat', scheduler: 'DPM2 a', width: 4096 }, aModel())).toEqual(['scheduler', 'width'])
  })
})
