import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  PROMPT,
  STAGE_IMAGE,
  generate,
  idle,
  modelLoaded,
  newestJob,
  openPage,
  screenshot,
  startGeneration,
} from './browser'

/** Click the Cancel button and return the milliseconds until the stage is idle. */
async function clickAndMeasure(): Promise<number> {
  const startedAt = performance.now()
  document.querySelector<HTMLElement>('.bar .cancel')?.click()
  while (!document.querySelector('.stage[aria-busy=false]')) await new Promise(requestAnimationFrame)
  return performance.now() - startedAt
}

test('cancel takes effect immediately and the late image is ignored', async () => {
  const page = await openPage({ steps: 40 })
  await startGeneration(page)
  await page.locator('.stage[aria-busy=true]').waitFor()
  expect(await page.evaluate(clickAndMeasure)).toBeLessThan(200)
  await expect.poll(async () => (await newestJob()).status, { timeout: 30_000 }).toBe('cancelled')
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
  const page = await openPage({ steps: 150 })
  await startGeneration(page)
  await page.waitForFunction(() => localStorage.getItem('easel.jobs')?.includes('id'))
  await page.reload()
  await page.getByRole('progressbar').waitFor()
  await page.locator(STAGE_IMAGE).waitFor()
})

test('the last image stays, dimmed, while the next is generated', async () => {
  const page = await openPage()
  await generate(page)
  await page.keyboard.press('Control+Enter')
  await page.locator(`${STAGE_IMAGE}.dimmed`).waitFor()
  await screenshot(page, 'running-over-last')
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
