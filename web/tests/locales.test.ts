import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { joinSentences } from '@/app/i18n'
import en from '@/locales/en'
import zh from '@/locales/zh-CN'

interface Tree {
  [key: string]: string | Tree
}

const readSource = (path: string) => readFileSync(`${import.meta.dirname}/../../${path}`, 'utf8')

function leaves(tree: Tree, path = ''): { path: string; text: string }[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'string' ? [{ path: `${path}${key}`, text: value }] : leaves(value, `${path}${key}.`),
  )
}

const placeholders = (text = '') => Array.from(text.matchAll(/\{\w+\}/g), ([name]) => name).sort()

test('both languages have the same keys', () => {
  expect(leaves(zh).map(({ path }) => path)).toEqual(leaves(en).map(({ path }) => path))
})

test('both languages have the same placeholders, and no text is empty', () => {
  const chinese = new Map(leaves(zh).map(({ path, text }) => [path, text]))
  for (const { path, text } of leaves(en)) {
    expect(text, path).not.toBe('')
    expect(placeholders(chinese.get(path)), path).toEqual(placeholders(text))
  }
})

test('both languages give the time to wake up that the API gives', () => {
  const [, ...minutes] = /^_WAKE_MINUTES = \((\d+), (\d+)\)/m.exec(readSource('lambda/aws/endpoints.py')) ?? []
  for (const { progress } of [en, zh]) expect(progress.waiting.match(/\d+/g)).toEqual(minutes)
})

test('every error code of the contract has a text', () => {
  const codes = Array.from(
    readSource('model_code/contract.py').matchAll(/^ {4}"(\w+)": ErrorKind/gm),
    ([, code]) => code,
  )
  expect(codes.length).toBeGreaterThan(40)
  expect(codes.filter((code = '') => !(code in en.errors))).toEqual([])
})

test('sentences are joined as their language does', () => {
  expect(joinSentences(['One.', 'Two.'])).toBe('One. Two.')
  expect(joinSentences(['一。', '二。'])).toBe('一。二。')
})
