import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  copyByMenu,
  generate,
  modelLoaded,
  openAdvanced,
  openPage,
  screenshot,
} from './browser'

const STATE = { detail: '', usd_per_hour: null }

/** Add a second model to the page, which the first one stands for. Return the requests that name a model. */
async function addModel(page: Page): Promise<Record<string, unknown>[]> {
  const sent: Record<string, unknown>[] = []
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    const [emoji] = body.models
    const studio = { ...emoji, id: 'studio', name: 'Studio', loras: [], subjects: [], suggestions: ['a lamp'] }
    studio.sizes = [{ width: 256, height: 192 }]
    studio.defaults = { ...emoji.defaults, width: 256, height: 192, num_inference_steps: 3 }
    const features: string[] = emoji.features
    studio.features = features.filter((name) => !['image_to_image', 'inpaint', 'hires'].includes(name))
    await route.fulfill({ json: { models: [emoji, studio] } })
  })
  await page.route(/\/health$/, (route) => {
    const ready = { ...STATE, status: 'ready', wake_minutes: null }
    const asleep = { ...STATE, status: 'asleep', wake_minutes: [4, 10] }
    return route.fulfill({
      json: { status: 'ok', model: 'emoji', endpoint: ready, models: { emoji: ready, studio: asleep } },
    })
  })
  await page.route(/\/jobs$/, async (route) => {
    const { model, ...body } = route.request().postDataJSON()
    sent.push({ model, ...body })
    const response = await route.fetch({ postData: JSON.stringify(body) })
    await route.fulfill({ response, json: { ...(await response.json()), model } })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...(await response.json()), model: sent.at(-1)?.model } })
  })
  await page.reload()
  await modelLoaded(page)
  return sent
}

test('a model is chosen by keyboard, brings its own form, and the draft survives', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  const sent = await addModel(page)
  const picker = page.getByRole('combobox', { name: en.fields.model })
  await expect
    .poll(() => picker.locator('option').allTextContents())
    .toEqual(['Emoji · ready', 'Studio · asleep, 4–10 min'])
  await page.locator('#prompt').fill('a red apple')
  await button(page, 'Comic').click()
  await openAdvanced(page)
  await page.getByRole('checkbox', { name: en.hires.use }).check()
  await page.locator('#seed').fill('7')
  await page.locator('#seed').press('Tab')

  await picker.focus()
  await picker.press('ArrowDown')
  await page.getByText('256 × 192').first().waitFor()
  expect(await page.locator('#prompt').inputValue()).toBe('a red apple')
  expect(await page.locator('#seed').inputValue()).toBe('7')
  expect(await button(page, 'Comic').count()).toBe(0)
  await page.getByText('Emoji keeps these settings until you choose it again: Steps, Second pass, LoRA.').waitFor()
  await screenshot(page, 'models')
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
  expect(sent.at(-1)).toMatchObject({ model: 'studio', width: 256, height: 192, num_inference_steps: 3, seed: 7 })
  expect(sent.at(-1)).not.toHaveProperty('loras')
  await page.locator('.caption').getByText('· Studio').waitFor()

  // The choice outlives a reload; the first model has its settings back.
  await page.reload()
  await modelLoaded(page)
  expect(await picker.inputValue()).toBe('studio')
  await picker.selectOption('emoji')
  expect(await button(page, 'Comic').getAttribute('aria-pressed')).toBe('true')
  await page.locator('#prompt').press('Control+Enter')
  await page.locator('.caption').getByText('· Emoji').waitFor()
  expect(sent.at(-1)).toMatchObject({ model: 'emoji', loras: [{ id: 'comic' }], hires: { scale: 2 } })

  // What an image has come from comes back with it, as with a link.
  const link = await copyByMenu(page, en.actions.copyLink)
  await page.keyboard.press('ArrowRight')
  await page.locator('.caption').getByText('· Studio').waitFor()
  await button(page, en.actions.reuse).click()
  await expect.poll(() => picker.inputValue()).toBe('studio')
  await page.evaluate((url) => (location.hash = new URL(url).hash), link)
  await expect.poll(() => picker.inputValue()).toBe('emoji')
})

test('an init image is kept for a model that can start from it', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  await generate(page)
  const sent = await addModel(page)
  const picker = page.getByRole('combobox', { name: en.fields.model })
  await chooseMenuItem(page, en.actions.useAsInitImage)
  await page.getByAltText(en.initImage.alt).waitFor()
  await picker.selectOption('studio')
  await page.getByText(en.initImage.notHere.replace('{model}', 'Studio')).waitFor()
  await generate(page)
  expect(sent.at(-1)).not.toHaveProperty('init_image')
  await picker.selectOption('emoji')
  await generate(page)
  expect(sent.at(-1)).toHaveProperty('init_image')
})
