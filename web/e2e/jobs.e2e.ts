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
  idle,
  modelLoaded,
  newestJob,
  openAdvanced,
  openPage,
  required,
  screenshot,
  startGeneration,
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
  const page = await openPage({ steps: 40 })
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

test('cancel takes effect before the API responds, and the late image is ignored', async () => {
  const page = await openPage({ steps: 40 })
  await startGeneration(page)
  await page.locator('.stage[aria-busy=true]').waitFor()
  let respond = () => {}
  const held = new Promise<void>((resolve) => {
    respond = resolve
  })
  await page.route('**/jobs/*', async (route) => {
    if (route.request().method() === 'DELETE') await held
    await route.continue()
  })
  await page.locator('.bar .cancel').click()
  await idle(page)
  respond()
  await expect.poll(async () => (await newestJob()).status, { timeout: 60_000 }).toBe('cancelled')
  await page.waitForTimeout(300)
  expect(await page.locator(STAGE_IMAGE).count()).toBe(0)
  expect(await page.evaluate(() => localStorage.getItem('easel.jobs'))).toBe('[]')
})

test('a double click submits one job', async () => {
  const page = await openPage()
  const keys: (string | undefined)[] = []
  page.on('request', (request) => {
    if (request.method() === 'POST') keys.push(request.headers()['idempotency-key'])
  })
  await page.locator('#prompt').fill(PROMPT)
  await page.locator('.bar button').evaluate((element: HTMLButtonElement) => {
    element.click()
    element.click()
  })
  await page.locator(STAGE_IMAGE).waitFor()
  expect(keys).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)])
})

test('images and settings survive a reload', async () => {
  const page = await openPage()
  await generate(page)
  await page.reload()
  await modelLoaded(page)
  await page.locator(STAGE_IMAGE).waitFor()
  expect(await page.locator('#prompt').inputValue()).toBe(PROMPT)
  expect(await page.locator('.strip li').count()).toBe(1)
})

test('a running job continues after a reload', async () => {
  const page = await openPage({ steps: 40 })
  await startGeneration(page)
  await page.waitForFunction(() => localStorage.getItem('easel.jobs')?.includes('id'))
  await page.reload()
  await page.getByRole('progressbar').waitFor()
  await page.locator(STAGE_IMAGE).waitFor()
})

test('the last image stays, dimmed, while the next is generated', async () => {
  const page = await openPage()
  await generate(page)
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  await page.route(`${EASEL}/jobs`, (route) => released.then(() => route.continue()))
  await page.keyboard.press('Control+Enter')
  await page.locator(`${STAGE_IMAGE}.dimmed`).waitFor()
  await screenshot(page, 'running-over-last')
  release()
  await idle(page)
})

test('without server-sent events the page polls the job', async () => {
  const page = await openPage({ expected: /events/ })
  await page.route(`${EASEL}/jobs/*/events`, (route) => route.fulfill({ status: 404 }))
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
})

test('jobs queue up, are shown, can be removed and survive a reload', async () => {
  const page = await openPage({ steps: 150 })
  await startGeneration(page, 'a red apple')
  const rows = page.locator('section ol li')
  for (const [i, prompt] of ['a blue car', 'a green tree'].entries()) {
    await startGeneration(page, prompt)
    await expect.poll(() => rows.count()).toBe(i + 1)
  }
  await screenshot(page, 'queue')
  await page.reload()
  await expect.poll(() => rows.allInnerTexts()).toEqual(['a blue car', 'a green tree'])
  await page.getByRole('button', { name: en.queue.remove.replace('{prompt}', 'a blue car') }).click()
  await expect.poll(() => rows.count()).toBe(1)
  await page.locator('.bar .cancel').click()
  await page.getByText(/^Step \d+ of 150$/).waitFor()
  expect(await rows.count()).toBe(0)
  await page.locator('.bar .cancel').click()
  await idle(page)
  await expect
    .poll(async () => {
      const response = await fetch(`${EASEL}/jobs?limit=3`)
      const { jobs }: { jobs: { status: string }[] } = await response.json()
      return jobs.map(({ status }) => status)
    })
    .toEqual(['cancelled', 'cancelled', 'cancelled'])
})
