import { expect, test } from 'vitest'
import { EASEL, PROMPT, openPage, picture } from './browser'

test('an empty prompt is answered beside the prompt', async () => {
  const page = await openPage()
  await page.getByRole('button', { name: 'Generate' }).click()
  await page.getByText('Say what to draw.', { exact: true }).waitFor()
  const prompt = page.getByRole('textbox', { name: 'Prompt', exact: true })
  expect(await prompt.getAttribute('aria-invalid')).toBe('true')
  expect(await prompt.evaluate((element) => element === document.activeElement)).toBe(true)
  await picture(page, 'error-prompt')
  await prompt.fill(PROMPT)
  expect(await page.getByText('Say what to draw.', { exact: true }).count()).toBe(0)
})

test('what the API refuses is said beside the field that it names', async () => {
  const page = await openPage({ expected: /400/ })
  await page.route(`${EASEL}/models`, async (route) => {
    const answer = await route.fetch()
    const { models } = await answer.json()
    models[0].bounds.num_inference_steps.maximum = 900
    await route.fulfill({ json: { models } })
  })
  await page.reload()
  await page.getByRole('button', { name: 'Advanced' }).click()
  await page.getByRole('spinbutton', { name: 'Steps' }).fill('800')
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.getByRole('button', { name: 'Advanced' }).click()
  await page.keyboard.press('Control+Enter')
  await page.locator('#num_inference_steps-error').waitFor()
  expect(await page.locator('#num_inference_steps-error').innerText()).toBe('Steps is outside 1 to 150. Send 1 to 150.')
  await picture(page, 'error-field')
})

test('nobody answering, a wrong key and a failing service are told apart', async () => {
  const page = await openPage({ expected: /Failed to load|ERR_/ })
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)

  await page.route(`${EASEL}/jobs`, (route) => route.abort())
  await page.keyboard.press('Control+Enter')
  await page.getByText('Nobody answers').waitFor()
  await picture(page, 'error-network')

  await page.unrouteAll()
  await page.route(`${EASEL}/jobs`, (route) => route.fulfill({ status: 503, json: { code: 'model_busy', detail: 'the model is busy', hint: 'Wait.', request_id: 'abc-1' } }))
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('The model is busy. Wait.').waitFor()
  await page.getByText('abc-1').waitFor()

  await page.unrouteAll()
  await page.route(`${EASEL}/jobs`, (route) => route.fulfill({ status: 401, json: { code: 'unauthorized', detail: 'no key' } }))
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('dialog', { name: 'Settings' }).waitFor()
})

test('after a break of the line, trying again sends the same job', async () => {
  const page = await openPage({ expected: /Failed to load|ERR_/ })
  const keys: string[] = []
  page.on('request', (request) => request.method() === 'POST' && keys.push(request.headers()['idempotency-key']!))
  await page.route(`${EASEL}/jobs`, (route) => route.abort(), { times: 1 })
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.locator('.stage .picture img').waitFor()
  expect(new Set(keys).size).toBe(1)
})

test('the connection can be tested, and the key stays masked', async () => {
  const page = await openPage({ expected: /ERR_|Failed to load/ })
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByRole('button', { name: 'Test connection' }).click()
  await page.getByText(/^Connected: /).waitFor()
  await picture(page, 'settings')
  await page.getByLabel('API address').fill('http://127.0.0.1:9')
  await page.getByRole('button', { name: 'Test connection' }).click()
  await page.getByText('Nobody answers').waitFor()
  expect(await page.getByLabel('API key').getAttribute('type')).toBe('password')
})

test('a failed job says why', async () => {
  const page = await openPage({ expected: /events/ })
  await page.route(`${EASEL}/jobs/*/events`, (route) => route.abort())
  await page.route(/\/jobs\/[0-9a-f]{44}$/, async (route) => {
    const job = await (await route.fetch()).json()
    const error = { code: 'blank_output', status: 500, message: 'the model drew only black', hint: 'Try another seed.', param: null }
    await route.fulfill({ json: { ...job, status: 'failed', images: [], error } })
  })
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.getByText('The model drew only black. Try another seed.').waitFor()
})
