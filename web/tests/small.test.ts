import { AxiosError, type AxiosResponse } from 'axios'
import { describe, expect, test } from 'vitest'
import { toFailure } from '@/api/failure'
import { baseUrl } from '@/api/service'
import type { Parameters } from '@/api/types'
import { ratioOf } from '@/ratio'
import { fromFragment, toLink } from '@/share'
import { renderSnippet, SNIPPETS } from '@/snippets'
import { estimateTokens } from '@/tokens'

const DRAWN: Parameters = {
  prompt: "一只熊猫's sofa & \"more\"\n#2",
  negative_prompt: '',
  width: 512,
  height: 768,
  num_inference_steps: 20,
  guidance_scale: 7.5,
  seed: 4_294_967_295,
  scheduler: 'euler_a',
  output_format: 'webp',
}

describe('a link', () => {
  test('carries everything and comes back', () => {
    const { negative_prompt, ...told } = DRAWN
    expect(fromFragment(new URL(toLink('http://127.0.0.1:7860/#old', DRAWN)).hash)).toEqual(told)
  })

  test.each(['', '#', '#seed=7', '#width=x'])('%j is none', (fragment) => expect(fromFragment(fragment)).toBeNull())

  test('what is no number is left out', () => {
    expect(fromFragment('#prompt=a&seed=seven&width=')).toEqual({ prompt: 'a' })
  })
})

describe('code to copy', () => {
  test.each(SNIPPETS)('%s reads the key from the environment where one is needed', (kind) => {
    expect(renderSnippet(kind, 'https://x.example', DRAWN, false)).not.toContain('EASEL_KEY')
    expect(renderSnippet(kind, 'https://x.example', DRAWN, true)).toContain('EASEL_KEY')
  })
})

test.each([
  [1024, 1024, '1:1'],
  [1344, 768, '16:9'],
  [768, 1344, '9:16'],
  [896, 1152, '3:4'],
  [640, 200, '16:5'],
])('%d × %d is called %s', (width, height, name) => expect(ratioOf({ width, height })).toBe(name))

test.each([
  ['', 0],
  ['a red apple', 3],
  ['一只熊猫', 8],
  ['masterpiece, 8k', 5],
])('%j has about %d tokens', (text, tokens) => expect(estimateTokens(text)).toBe(tokens))

test.each([
  ['', ''],
  ['https://x.example/prod/', 'https://x.example/prod'],
])('the address %j is used as %j', (url, used) => {
  expect(baseUrl({ url: url || ' ', key: '' })).toBe(url ? used : '/api')
})

describe('failures', () => {
  const answered = (status: number, data: unknown) =>
    toFailure(new AxiosError('no', '', undefined, undefined, { status, data, headers: { 'x-request-id': 'r-1' } } as unknown as AxiosResponse))

  test.each([
    [400, 'request'],
    [401, 'auth'],
    [403, 'auth'],
    [429, 'busy'],
    [500, 'service'],
    [504, 'service'],
  ])('%d is of kind %s', (status, kind) => expect(answered(status, '<html>').kind).toBe(kind))

  test('nobody answering is neither the key nor the service', () => {
    expect(toFailure(new AxiosError('Network Error'))).toMatchObject({ kind: 'network', code: 'network' })
  })

  test('a problem document names field and request', () => {
    const problem = { code: 'out_of_range', detail: 'too many', hint: 'Send 8.', request_id: 'r-2', invalid_params: [{ name: 'seed', reason: 'x' }] }
    expect(answered(400, problem)).toEqual({ kind: 'request', code: 'out_of_range', detail: 'too many', hint: 'Send 8.', param: 'seed', requestId: 'r-2' })
  })

  test('an answer of what stands before the API still has its number', () => {
    expect(answered(503, '<html>')).toMatchObject({ code: 'upstream_unavailable', requestId: 'r-1' })
  })
})
