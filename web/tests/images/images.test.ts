// @vitest-environment node
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Parameters } from '@/api/types'
import { parseInfotext, renderInfotext } from '@/images/infotext'
import { readParameters } from '@/images/readParameters'

const NUMBERS = {
  num_inference_steps: 25,
  guidance_scale: 7.5,
  seed: 42,
  width: 512,
  height: 768,
  scheduler: 'euler_a',
}
const ENGLISH = {
  prompt: 'a red apple, (masterpiece:1.2)',
  negative_prompt: 'blurry, text',
  // A1111 reads weights.
  prompt_syntax: 'weighted',
  ...NUMBERS,
}
const CHINESE = { prompt: '一只熊猫\n坐在沙发上', negative_prompt: '模糊', ...NUMBERS }

const readFixture = (name: string) => new Blob([readFileSync(`${import.meta.dirname}/../fixtures/${name}`)])

describe('readParameters', () => {
  test.each([
    ['text.png', ENGLISH],
    ['compressed.png', ENGLISH],
    ['chinese.png', CHINESE],
    ['chinese-compressed.png', CHINESE],
    ['chinese.webp', CHINESE],
    ['chinese.jpg', CHINESE],
    ['little-endian.jpg', CHINESE],
    ['bare.png', null],
  ])('%s', async (name, expected) => {
    expect((await readParameters(readFixture(name)))?.parameters ?? null).toEqual(expected)
  })

  test.each([
    [new Uint8Array()],
    [new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 255, 255, 255, 255])],
    [new Uint8Array([0xff, 0xd8, 0xff, 0xe1, 0, 4])],
  ])('broken files have no parameters', async (bytes) => {
    expect(await readParameters(new Blob([bytes]))).toBeNull()
  })
})

describe('infotext', () => {
  const parameters: Parameters = { ...CHINESE, output_format: 'png' }

  test('a rendered infotext is parsed to the same parameters', () => {
    const { output_format, ...expected } = parameters
    expect(parseInfotext(renderInfotext(parameters, 'emoji'))?.parameters).toEqual(expected)
  })

  test.each([
    'ddim',
    'ddpm',
    'dpmpp_2m',
    'dpmpp_2m_karras',
    'euler',
    'euler_a',
    'heun',
    'lcm',
    'lms',
    'pndm',
    'unipc',
    'flow_euler',
  ])('the scheduler %s is parsed back', (scheduler) => {
    expect(parseInfotext(renderInfotext({ ...parameters, scheduler }, 'emoji'))?.parameters.scheduler).toBe(scheduler)
  })

  const golden: { name: string; text: string; parameters: Parameters }[] = JSON.parse(
    readFileSync(`${import.meta.dirname}/../../../examples/infotext.json`, 'utf8'),
  )

  test.each(golden)('the page reads and writes what the server does: $name', (example) => {
    expect(parseInfotext(example.text)?.parameters).toEqual(example.parameters)
    expect(renderInfotext(example.parameters, 'example')).toBe(example.text)
  })

  test('older files have the schedule in the sampler name', () => {
    expect(parseInfotext('x\nSteps: 20, Sampler: DPM++ 2M Karras, Seed: 1')?.parameters.scheduler).toBe(
      'dpmpp_2m_karras',
    )
  })

  test('a quoted value may contain commas', () => {
    expect(parseInfotext('x\nSteps: 20, Note: "a, b: c", Seed: 7')).toMatchObject({
      parameters: { seed: 7, num_inference_steps: 20 },
      notTaken: [{ name: 'Note', value: 'a, b: c' }],
    })
  })

  test('other text is not an infotext', () => {
    expect(parseInfotext('Just a caption, with: a colon')).toBeNull()
  })
})
