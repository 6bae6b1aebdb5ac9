import { afterEach, expect } from 'vitest'
import { closePages } from './browser'

afterEach(async () => {
  expect(await closePages()).toEqual([])
})
