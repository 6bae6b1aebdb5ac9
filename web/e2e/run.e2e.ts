import { expect, test } from 'vitest'
import { EASEL, PROMPT, generate, modelKnown, openPage, picture } from './browser'

test('cancel answers at once and the late picture is dropped', async () => {
  const page = await openPage({ steps: 40, expected: /409/ })
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.keyboard.press('Control+Enter')
  const cancel = page.getByRole('button', { name: 'Cancel' })
  await cancel.waitFor()
  const took = await page.evaluate(async () => {
    const button = [...document.querySelectorAll<HTMLElement>('.bar button')].find((one) => one.textContent.includes('Cancel'))!
    const began = performance.now()
    button.click()
    while (!document.querySelector('.stage[aria-busy=false]')) await new Promise(requestAnimationFrame)
    return performance.now() - began
  })
  expect(took).toBeLessThan(200)
  await page.waitForTimeout(1500)
  expect(await page.locator('.stage .picture img').count()).toBe(0)
  expect(await page.evaluate(() => localStorage.getItem('easel.job'))).toBe('')
})

test('one click is one job, however often it is made', async () => {
  const page = await openPage()
  const sent: string[] = []
  page.on('request', (request) => request.method() === 'POST' && sent.push(request.headers()['idempotency-key']!))
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.locator('.bar button').evaluate((button: HTMLButtonElement) => {
    button.click()
    button.click()
  })
  await page.locator('.stage .picture img').waitFor()
  expect(sent).toHaveLength(1)
  expect(sent[0]).toMatch(/^[0-9a-f]{32}$/)
})

test('pictures and settings survive a reload', async () => {
  const page = await openPage()
  await generate(page)
  await page.reload()
  await modelKnown(page)
  await page.locator('.stage .picture img').waitFor()
  expect(await page.getByRole('textbox', { name: 'Prompt', exact: true }).inputValue()).toBe(PROMPT)
  expect(await page.locator('.strip li').count()).toBe(1)
})

test('a job that runs while the page is reloaded is picked up again', async () => {
  const page = await openPage({ steps: 20 })
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.waitForFunction(() => localStorage.getItem('easel.job'))
  await page.reload()
  await page.getByRole('progressbar').waitFor()
  await page.locator('.stage .picture img').waitFor()
})

test('the last picture stays, dimmed, while the next is drawn', async () => {
  const page = await openPage()
  await generate(page)
  await page.keyboard.press('Control+Enter')
  await page.locator('.stage .picture img.dimmed').waitFor()
  await picture(page, 'running-over-last')
  await page.locator('.stage[aria-busy=false]').waitFor()
})

test('without events the page asks for the job', async () => {
  const page = await openPage({ expected: /events/ })
  await page.route(`${EASEL}/jobs/*/events`, (route) => route.fulfill({ status: 404 }))
  await generate(page)
  await page.locator('.stage .picture img').waitFor()
})
