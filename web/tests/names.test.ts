import { expect, test } from 'vitest'
import { drawsIn, suggestionsIn } from '@/names'
import { aModel } from './fakes'

const both = { ...aModel(), suggestions: ['cat', '猫', '红苹果'], draws: ['apple', 'cat'], draws_in: { 'zh-CN': ['苹果', '猫'] } }

test('prompts to start from are in the person’s language', () => {
  expect(suggestionsIn('en', both)).toEqual(['cat'])
  expect(suggestionsIn('zh-CN', both)).toEqual(['猫', '红苹果'])
})

test('a model that has them in one language shows those', () => {
  expect(suggestionsIn('zh-CN', aModel())).toEqual(['a red apple'])
})

test('what the model draws is named in the person’s language, as far as the API tells', () => {
  expect(drawsIn('en', both)).toEqual(['apple', 'cat'])
  expect(drawsIn('zh-CN', both)).toEqual(['苹果', '猫'])
  expect(drawsIn('zh-CN', { ...both, draws_in: undefined } as never)).toEqual(['apple', 'cat'])
})
