import { expect, test } from 'vitest'
import en from '../src/locales/en'
import { EASEL, PROMPT, STAGE_IMAGE, button, openAdvanced, openPage, screenshot, startGeneration } from './browser'

test('an empty prompt is reported at the prompt, which gets the focus', async () => {
  const page = await openPage()
  await button(page, en.generate.label).click()
  await page.locator('#prompt-error').getByText(en.errors.empty_prompt).waitFor()
  const prompt = page.locator('#prompt')
  expect(await prompt.getAttribute('aria-invalid')).toBe('true')
  expect(await prompt.evaluate((element) => element === document.activeElement)).toBe(true)
  await screenshot(page, 'error-prompt')
  await prompt.fill(PROMPT)
  expect(await page.locator('#prompt-error').count()).toBe(0)
})

test('an error of the API is shown at its field', async () => {
  const page = await openPage({ expected: /400/ })
  await page.route(`${EASEL}/models`, async (route) => {
    const response = await route.fetch()
    const { models } = await response.json()
    models[0].bounds.scheduler_steps = {}
    models[0].bounds.num_inference_steps.maximum = 900
    await route.fulfill({ json: { models } })
  })
  await page.reload()
  await openAdvanced(page)
  await page.getByRole('spinbutton', { name: en.fields.num_inference_steps }).fill('800')
  await page.locator('#prompt').fill(PROMPT)
  await openAdvanced(page)
  await page.keyboard.press('Control+Enter')
  const error = page.locator('#num_inference_steps-error')
  await error.waitFor()
  expect(await error.innerText()).toMatch(/\b1 to 150\b/)
  await screenshot(page, 'error-field')
})

test('on a phone the error of a field stays in view, although the stage was about to be shown', async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, reducedMotion: 'no-preference' } as const
  const page = await openPage({ expected: /400/, ...phone })
  await page.locator('#prompt').fill('a (panda:25)')
  await page.getByLabel(en.prompt.weighted).check()
  await button(page, en.generate.label).tap()
  const error = page.locator('#prompt-error')
  await error.waitFor()
  await page.waitForTimeout(1500) // longer than a smooth scroll
  const top = await error.evaluate((element) => element.getBoundingClientRect().top)
  expect(top).toBeGreaterThan(0)
  expect(top).toBeLessThan(844)
})

test('a network error, a busy model and a wrong key are reported differently', async () => {
  const page = await openPage({ expected: /Failed to load|ERR_/ })
  await page.route(`${EASEL}/jobs`, (route) => route.abort())
  await startGeneration(page)
  await page.getByText(en.errors.network).waitFor()
  await screenshot(page, 'error-network')

  const respond = async (status: number, json: object) => {
    await page.unrouteAll()
    await page.route(`${EASEL}/jobs`, (route) => route.fulfill({ status, json }))
    await button(page, en.failure.retry).click()
  }
  await respond(503, { code: 'model_busy', detail: 'the model is busy', hint: 'Wait.', request_id: 'abc-1' })
  await page.getByText('The model is busy. Wait.').waitFor()
  await page.getByText('abc-1').waitFor()

  await respond(401, { code: 'unauthorized', detail: 'no key' })
  await page.getByRole('dialog', { name: en.settings.title }).waitFor()
})

test('trying again after a network error sends the same idempotency key', async () => {
  const page = await openPage({ expected: /Failed to load|ERR_/ })
  const keys = new Set<string | undefined>()
  page.on('request', (request) => {
    if (request.method() === 'POST') keys.add(request.headers()['idempotency-key'])
  })
  await page.route(`${EASEL}/jobs`, (route) => route.abort(), { times: 1 })
  await startGeneration(page)
  await button(page, en.failure.retry).click()
  await page.locator(STAGE_IMAGE).waitFor()
  expect(keys.size).toBe(1)
})

test('the settings test the connection and mask the key', async () => {
  const page = await openPage({ expected: /ERR_|Failed to load/ })
  await button(page, en.settings.title).click()
  const dialog = page.getByRole('dialog', { name: en.settings.title })
  await button(page, en.settings.test).click()
  await dialog.locator('.result:not(.failed)').waitFor()
  await screenshot(page, 'settings')
  await page.getByLabel(en.settings.url).fill('http://127.0.0.1:9')
  await button(page, en.settings.test).click()
  await dialog.locator('.result.failed').getByText(en.errors.network).waitFor()
  expect(await page.getByLabel(en.settings.key).getAttribute('type')).toBe('password')
})

test('a failed job is reported with its reason', async () => {
  const page = await openPage({ expected: /events/ })
  await page.route(`${EASEL}/jobs/*/events`, (route) => route.abort())
  await page.route(/\/jobs\/[0-9a-f]{44}$/, async (route) => {
    const job = await (await route.fetch()).json()
    const error = { code: 'blank_output', status: 500, message: 'the image is blank', hint: 'Try again.', param: null }
    await route.fulfill({ json: { ...job, status: 'failed', images: [], error } })
  })
  await startGeneration(page)
  await page.getByText('The image is blank. Try again.').waitFor()
})
