import { AxiosError } from 'axios'
import { describe, expect, test } from 'vitest'
import { toFailure } from '@/api/failure'
import { subjectsIn, suggestionsIn } from '@/api/modelTexts'
import { baseUrl, folderOf } from '@/api/service'
import { createModel, responseError } from './data'

test.each([
  [' ', '/api'],
  ['https://x.example/prod/', 'https://x.example/prod'],
])('the address %j is used as %j', (url, base) => {
  expect(baseUrl({ url, key: '' })).toBe(base)
})

test.each([
  ['http://127.0.0.1:7860/', 'http://127.0.0.1:7860/'],
  ['https://example.com/easel/?a#prompt=b', 'https://example.com/easel/'],
  ['https://example.com/easel/index.html', 'https://example.com/easel/'],
])('the folder of the page %s is %s', (page, folder) => {
  expect(folderOf(page)).toBe(folder)
})

describe('failures', () => {
  test.each([
    [400, 'request'],
    [401, 'auth'],
    [403, 'auth'],
    [429, 'busy'],
    [500, 'service'],
    [504, 'service'],
  ])('status %d is of kind %s', (status, kind) => {
    expect(toFailure(responseError(status, '<html>')).kind).toBe(kind)
  })

  test('an error without a response is of kind network', () => {
    expect(toFailure(new AxiosError('Network Error'))).toMatchObject({ kind: 'network', code: 'network' })
  })

  test('a problem document gives field and request id', () => {
    const problem = {
      code: 'out_of_range',
      detail: 'too many',
      hint: 'Send 8.',
      request_id: 'r-2',
      invalid_params: [{ name: 'seed', reason: 'x' }],
    }
    expect(toFailure(responseError(400, problem))).toEqual({
      kind: 'request',
      code: 'out_of_range',
      detail: 'too many',
      hint: 'Send 8.',
      param: 'seed',
      requestId: 'r-2',
    })
  })

  test('without a problem document the request id comes from the header', () => {
    expect(toFailure(responseError(503, '<html>'))).toMatchObject({ code: 'upstream_unavailable', requestId: 'r-1' })
  })
})

describe('texts of the model', () => {
  const model = createModel({
    suggestions: ['cat', '猫', '红苹果'],
    subjects: ['apple', 'cat'],
    subjects_in: { 'zh-CN': ['苹果', '猫'] },
  })

  test('suggestions are in the language of the page', () => {
    expect(suggestionsIn('en', model)).toEqual(['cat'])
    expect(suggestionsIn('zh-CN', model)).toEqual(['猫', '红苹果'])
  })

  test('suggestions in another language are shown if there are no others', () => {
    expect(suggestionsIn('zh-CN', createModel())).toEqual(['a red apple'])
  })

  test('subjects are in the language of the page if the model has it', () => {
    expect(subjectsIn('en', model)).toEqual(['apple', 'cat'])
    expect(subjectsIn('zh-CN', model)).toEqual(['苹果', '猫'])
    expect(subjectsIn('zh-CN', { ...model, subjects_in: {} })).toEqual(['apple', 'cat'])
  })
})
