import { createHash } from 'node:crypto'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  PROMPT,
  STAGE_IMAGE,
  button,
  download,
  generate,
  newestJob,
  openAdvanced,
  openPage,
  required,
  screenshot,
} from './browser'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The hash of the bytes that the page shows. */
async function hashOnStage(page: Page): Promise<string> {
  const numbers = await page
    .locator(STAGE_IMAGE)
    .evaluate(async (image: HTMLImageElement) => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())])
  return sha256(Uint8Array.from(numbers))
}

async function hashOnServer(url: string): Promise<string> {
  const response = await fetch(new URL(url, EASEL))
  return sha256(new Uint8Array(await response.arrayBuffer()))
}

test('the page shows and downloads the generated file', async () => {
  const page = await openPage({ steps: 100 })
  await page.keyboard.type(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.getByRole('progressbar').waitFor()
  await page.getByText(/^Step \d+ of \d+$/).waitFor()
  await screenshot(page, 'running')
  await page.locator(STAGE_IMAGE).waitFor()

  const job = await newestJob()
  const seed = required(job.seeds[0])
  const hash = await hashOnServer(required(job.images[0]).url)
  expect(await hashOnStage(page)).toBe(hash)
  expect(await page.locator(STAGE_IMAGE).getAttribute('alt')).toBe(PROMPT)
  await page.getByText(`${en.fields.seed} ${seed}`).waitFor()

  const file = await download(page)
  expect(sha256(file.bytes)).toBe(hash)
  expect(file.name).toBe(`a-red-apple-${seed}.png`)
  await screenshot(page, 'result')
})

test('a locked seed generates the same bytes again', async () => {
  const page = await openPage()
  await generate(page)
  const first = await hashOnStage(page)
  await button(page, en.actions.useSeed).click()
  await generate(page)
  expect(await page.locator('.strip li').count()).toBe(2)
  expect(await hashOnStage(page)).toBe(first)
})

test('several images have consecutive seeds', async () => {
  const page = await openPage()
  await openAdvanced(page)
  await page.getByRole('radio', { name: '2', exact: true }).check({ force: true })
  await page.getByRole('spinbutton', { name: en.fields.seed }).fill('41')
  await generate(page)
  await page.getByText(`${en.fields.seed} 41`).waitFor()
  await page.locator('.strip li button').nth(1).click()
  await page.getByText(`${en.fields.seed} 42`).waitFor()
  await screenshot(page, 'advanced')
})
