import { readFileSync } from 'node:fs'
import { beforeAll, beforeEach, expect, test } from 'vitest'

const read = (path: string) => readFileSync(`${import.meta.dirname}/../${path}`, 'utf8')
const isShown = () => !document.querySelector('#startup-failure')?.hasAttribute('hidden')
const [, body = ''] = /<body>(.*)<\/body>/s.exec(read('index.html')) ?? []

beforeAll(() => {
  window.eval(read('public/theme.js'))
})

beforeEach(() => {
  document.body.innerHTML = body.replace(/<script.*?<\/script>/s, '')
  document.head.innerHTML = ''
})

function fail(tag: string, attributes: Record<string, string> = {}) {
  const element = Object.assign(document.createElement(tag), attributes)
  document.body.append(element)
  element.dispatchEvent(new Event('error'))
}

test('refused scripts show what is wrong, and an icon does not', () => {
  expect(isShown()).toBe(false)
  fail('link', { rel: 'icon' })
  expect(isShown()).toBe(false)
  fail('script', { type: 'module' })
  expect(isShown()).toBe(true)
})

test('blocked storage is replaced by one that lasts as long as the page', () => {
  const own = Object.getOwnPropertyDescriptor(window, 'localStorage')
  const get = () => {
    throw new DOMException('blocked', 'SecurityError')
  }
  Object.defineProperty(window, 'localStorage', { configurable: true, get })
  window.eval(read('public/theme.js'))
  expect(localStorage.getItem('a')).toBeNull()
  localStorage.setItem('a', '1')
  expect(localStorage.getItem('a')).toBe('1')
  localStorage.removeItem('a')
  expect(localStorage.getItem('a')).toBeNull()
  Object.defineProperty(window, 'localStorage', own ?? {})
})

test('the index asks nothing of the root of the site', () => {
  const addresses = Array.from(read('index.html').matchAll(/(?:src|href)="([^"]*)"/g), ([, address]) => address)
  expect(addresses.filter((address) => address !== '/src/main.ts' && !address?.startsWith('./'))).toEqual([])
})
