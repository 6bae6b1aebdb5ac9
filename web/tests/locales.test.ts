import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import en from '@/locales/en'
import zh from '@/locales/zh-CN'

type Tree = { [key: string]: string | Tree }

function leaves(tree: Tree, path = ''): [path: string, text: string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : leaves(value, `${path}${key}.`),
  )
}

const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort()

test('both languages say the same things', () => {
  expect(leaves(zh).map(([path]) => path)).toEqual(leaves(en).map(([path]) => path))
})

test('both fill in the same values, and nothing is empty', () => {
  const chinese = new Map(leaves(zh))
  for (const [path, text] of leaves(en)) {
    expect(text, path).not.toBe('')
    expect(placeholders(chinese.get(path)!), path).toEqual(placeholders(text))
  }
})

test('both say how long waking takes as the API says it', () => {
  const [, ...minutes] = /^_WAKE_MINUTES = \((\d+), (\d+)\)/m.exec(readFileSync(`${import.meta.dirname}/../../lambda/aws/adapters.py`, 'utf8'))!
  for (const { progress } of [en, zh]) expect(progress.waiting.match(/\d+/g)).toEqual(minutes)
})

test('every error of the contract has its sentence', () => {
  const contract = readFileSync(`${import.meta.dirname}/../../model_code/contract.py`, 'utf8')
  const codes = [...contract.matchAll(/^ {4}"(\w+)": ErrorKind/gm)].map(([, code]) => code!)
  expect(codes.length).toBeGreaterThan(40)
  expect(codes.filter((code) => !(code in en.errors))).toEqual([])
})
