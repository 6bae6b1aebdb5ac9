import axios, { AxiosError, type AxiosAdapter } from 'axios'
import { describe, expect, test } from 'vitest'
import { toFailure } from '@/api/failure'
import { subjectsIn, suggestionsIn } from '@/api/modelTexts'
import { baseUrl, createService, folderOf } from '@/api/service'
import { emptyDraft, pixelSteps, resolveSettings, toRequest, validate } from '@/request/draft'
import { createFirstModel, createModel, responseError } from './data'

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

async function modelsOf(data: unknown) {
  const adapter: AxiosAdapter = (config) =>
    Promise.resolve({ data, status: 200, statusText: 'OK', headers: {}, config })
  const { adapter: own } = axios.defaults
  axios.defaults.adapter = adapter
  const service = createService({ url: 'https://x.example', key: '' })
  axios.defaults.adapter = own
  return service.models()
}

test('a model of this version is read as it is', async () => {
  const model = createModel({ edits: 3, features: ['hires'], content: ['flag'], prompt_tokens: 38 })
  expect(await modelsOf({ models: [model] })).toEqual([model])
})

test('what an older API leaves out is a feature that its model does not have', async () => {
  const [model] = await modelsOf({ models: [createFirstModel()] })
  if (!model) throw new Error('no model')
  const lists = ['content', 'presets', 'loras', 'controls', 'control_without', 'embeddings'] as const
  expect(lists.map((name) => model[name])).toEqual(lists.map(() => []))
  expect([model.edits, model.prompt_tokens, model.bounds.clip_skip]).toEqual([0, null, null])
  const draft = { ...emptyDraft(), prompt: 'a', loras: [{ id: 'comic', scale: 1 }], clip_skip: 2 }
  const settings = resolveSettings({ ...draft, hires: { scale: 2, strength: 0.5, steps: 4 } }, model)
  expect(settings).toMatchObject({ loras: [], control: [], clip_skip: null, hires: null })
  expect(pixelSteps(settings, model, null)).toBe(512 * 512 * 20)
  expect(validate(settings, model, null)).toBeNull()
  expect(toRequest(draft, model, null)).toMatchObject({ prompt: 'a', width: 512 })
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
