import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  generate,
  idle,
  modelLoaded,
  newestJob,
  openAdvanced,
  openPage,
  screenshot,
  startGeneration,
} from './browser'

const TIGER = '一只老虎, xylophone, in a train'

test('warnings are below the image, in words of the page’s language', async () => {
  const page = await openPage()
  await generate(page, 'a golden leaf at night')
  const warning = page.locator('.stage .warning')
  const text = await warning.innerText()
  expect(text).toMatch(/found none of them in the prompt; the nearest: maple leaf\.$/)
  const [colour, alarm] = await warning.locator('svg').evaluate((icon) => {
    const text = document.createElement('i')
    icon.after(text)
    text.style.color = 'var(--alarm)'
    return [icon, text].map((element) => getComputedStyle(element).color)
  })
  expect(colour).not.toBe(alarm)
  await screenshot(page, 'warning')
  await generate(page, 'a xylophone')
  expect(await warning.innerText()).toMatch(/in the prompt\.$/)
  await button(page, '中文').click()
  await page.locator('.strip li button').nth(1).click()
  await warning.getByText('最接近的是：枫叶').waitFor()
  expect(await page.locator('body').innerText()).not.toContain('GET /models')
})

test('changed settings show while Advanced is closed, and are reset there', async () => {
  const link = '#prompt=a+cat&seed=7&num_inference_steps=6&negative_prompt=blurry&width=160&height=128'
  const page = await openPage({ steps: null, at: link })
  await page.getByText(en.advanced.changed.replace('{count}', '4')).waitFor()
  expect(await page.locator('.panel').innerText()).not.toMatch(/below/)
  await screenshot(page, 'changed-settings')

  // A share link is taken once.
  expect(page.url()).not.toContain('prompt')
  await page.locator('#prompt').fill('typed since')
  await page.reload()
  await modelLoaded(page)
  expect(await page.locator('#prompt').inputValue()).toBe('typed since')
  await page.evaluate(() => (location.hash = '#prompt=another+link&scheduler=flow_heun'))
  await expect.poll(() => page.locator('#prompt').inputValue()).toBe('another link')
  await page.getByText('Scheduler (ddim is used)').waitFor()

  await page.getByRole('button', { name: en.advanced.reset, exact: true }).click()
  expect(await page.getByText(en.advanced.changed.replace('{count} ', '')).count()).toBe(0)
  await generate(page, 'a cat')
  expect((await newestJob()).parameters).toMatchObject({ negative_prompt: '', width: 128, num_inference_steps: 10 })
  await openAdvanced(page)
  const seed = page.getByRole('spinbutton', { name: en.fields.seed })
  expect([await seed.inputValue(), await seed.getAttribute('placeholder')]).toEqual(['', en.seed.random])
})

test('each tab has its own draft, and all show the same images', async () => {
  const page = await openPage()
  await page.locator('#prompt').fill('in the first tab')
  const other = await page.context().newPage()
  await other.goto(page.url())
  await modelLoaded(other)
  expect(await other.locator('#prompt').inputValue()).toBe('in the first tab')
  await generate(other, 'a dog')
  await page.locator(STAGE_IMAGE).waitFor()
  expect(await page.locator('.strip li').count()).toBe(1)
  await generate(page, 'a cat')
  await expect.poll(() => other.locator('.strip li').count()).toBe(2)
  await other.locator('.stage').getByText('a dog').waitFor()
  await button(other, en.actions.delete).click()
  await expect.poll(() => page.locator('.strip li').count()).toBe(1)
  await page.reload()
  await modelLoaded(page)
  expect(await page.locator('#prompt').inputValue()).toBe('a cat')
})

test('without a clipboard the text is shown, selected', async () => {
  const page = await openPage()
  await page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }))
  await generate(page, TIGER)
  await page.reload()
  await page.locator(STAGE_IMAGE).waitFor()
  await chooseMenuItem(page, en.actions.copyParameters)
  await page.getByRole('dialog', { name: en.copy.title }).waitFor()
  const selected = await page.evaluate(() => {
    const field = document.activeElement
    return field instanceof HTMLTextAreaElement ? field.value.slice(field.selectionStart, field.selectionEnd) : ''
  })
  expect(selected).toMatch(/^一只老虎, xylophone, in a train\nSteps: 2/)
  await screenshot(page, 'copy')
  await page.keyboard.press('Escape')
  await button(page, en.actions.copyImage).click()
  await page.getByText(en.notice.imageNotCopied).waitFor()

  // Keys of the enlarged image go on working after the first.
  await page.locator('.stage .image').click()
  await page.locator('.zoom-1').waitFor()
  for (const level of ['2', '4', '8']) {
    await page.keyboard.press('+')
    await page.locator(`.zoom-${level}`).waitFor()
  }
  const scrolled = () => page.locator('.view').evaluate(({ scrollLeft }) => scrollLeft)
  const before = await scrolled()
  await page.keyboard.press('ArrowRight')
  await expect.poll(scrolled).toBeGreaterThan(before)
  for (const level of ['4', '2', '1']) {
    await page.keyboard.press('-')
    await page.locator(`.zoom-${level}`).waitFor()
  }
  // One to one.
  expect((await page.locator('.view img').boundingBox())?.width).toBe(128)
})

test('an address that is none is refused, and a refused key gets the focus', async () => {
  const page = await openPage({ expected: /401/ })
  await button(page, en.settings.title).click()
  await page.getByLabel(en.settings.url).fill('not a url')
  await button(page, en.settings.test).click()
  await page.getByText(en.settings.badUrl).waitFor()
  await page.getByRole('button', { name: en.settings.save, exact: true }).click()
  expect(await page.getByRole('dialog').count()).toBe(1)
  await page.keyboard.press('Escape')
  await page.route(`${EASEL}/jobs`, (route) => route.fulfill({ status: 401, json: { code: 'unauthorized' } }))
  await startGeneration(page)
  await page.getByRole('dialog', { name: en.settings.title }).waitFor()
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('api-key')
})

test('the time is in minutes, the title counts, and the prompt has its direction and the model’s limit', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  // A clock that goes on would show more than the seconds that the test adds.
  await page.clock.pauseAt(Date.now() + 1000)
  const job = { id: 'f'.repeat(44), status: 'queued', message: 'Waking.', images: [], error: null, parameters: {} }
  await page.route(/\/jobs(\/f+)?$/, (route) => route.fulfill({ json: job }))
  await page.route(/\/events$/, (route) => route.abort())
  await page.locator('#prompt').fill(`كلب ${'word '.repeat(45)}`)
  expect(await page.locator('#prompt').evaluate((field) => getComputedStyle(field).direction)).toBe('rtl')
  await page.getByText(/Emoji reads only the first 38\./).waitFor()
  await page.keyboard.press('Control+Enter')
  // The time counts from the job's acceptance; the progress bar is there before.
  await page.getByText(job.message).waitFor()
  await page.clock.fastForward(441_000)
  await page.getByText('7:21 so far').waitFor()
  await page.getByText(en.waiting.goesOn).waitFor()
  await expect.poll(() => page.title()).toBe('7:21 · Easel')
  await screenshot(page, 'waiting')
})

test('cancel of a running job stops it within a step, and where that is impossible its images are marked', async () => {
  const page = await openPage({ steps: 150, expected: /409/ })
  const sentAt = Date.now()
  await startGeneration(page)
  const step = await page.getByText(/^Step ([5-9]|\d{2,}) of 150$/).textContent()
  const stepMilliseconds = (Date.now() - sentAt) / Number(/\d+/.exec(step ?? '')?.[0])
  await button(page, en.generate.cancel).click()
  await idle(page)
  await expect.poll(async () => (await newestJob()).status).toBe('cancelled')
  const startedAt = Date.now()
  await page.evaluate(() => sessionStorage.setItem('easel.draft', JSON.stringify({ num_inference_steps: 1 })))
  await page.reload()
  await modelLoaded(page)
  await generate(page)
  expect(Date.now() - startedAt, 'the model is free').toBeLessThan(Math.max(8000, 75 * stepMilliseconds))
  expect(await page.locator('.strip li').count()).toBe(1)

  await page.evaluate(() => sessionStorage.setItem('easel.draft', JSON.stringify({ num_inference_steps: 60 })))
  await page.route(`${EASEL}/models`, async (route) => {
    const body = await (await route.fetch()).json()
    body.models[0].features = ['preview']
    await route.fulfill({ json: body })
  })
  await page.reload()
  await modelLoaded(page)
  await startGeneration(page, 'a red apple, kept')
  await page.getByText(/^Step \d+ of 60$/).waitFor()
  await page.getByText(en.progress.cannotStop).waitFor()
  await page.keyboard.press('Escape')
  await page.getByText(en.progress.unwanted).waitFor()
  expect(await button(page, en.generate.cancel).count()).toBe(0)
  await page.getByText(en.stage.afterCancel).waitFor()
  await screenshot(page, 'after-cancel')
})
