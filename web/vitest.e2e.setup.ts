import { afterEach, expect } from 'vitest'
import { closePages } from './e2e/browser'

afterEach(async () => {
  expect(await closePages()).toEqual([])
})
