import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import zh from '../src/locales/zh-CN'
import {
  EASEL,
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  copyByMenu,
  generate,
  modelLoaded,
  newestJob,
  openAdvanced,
  openPage,
  screenshot,
} from './browser'

test('presets of the model and own presets set the settings, and own presets are deleted', async () => {
  const page = await openPage({ steps: null })
  const preset = (name: string) => page.getByRole('button', { name, exact: true })
  const isOn = (name: string) => preset(name).getAttribute('aria-pressed')
  await preset('Quick').click()
  expect([await isOn('Quick'), await isOn('Fine')]).toEqual(['true', 'false'])
  await generate(page)
  expect((await newestJob()).parameters).toMatchObject({ num_inference_steps: 4, guidance_scale: 2 })

  await page.evaluate(() => (location.hash = '#prompt=a+cat&seed=7&num_inference_steps=6&negative_prompt=blurry'))
  await page.getByText(en.notice.loaded).waitFor()
  expect(await isOn('Quick')).toBe('false')
  await button(page, en.presets.manage).click()
  const dialog = page.getByRole('dialog', { name: en.presets.manage })
  const name = dialog.getByLabel(en.presets.name)
  await name.press('Enter')
  await dialog.getByText(en.presets.noName).waitFor()
  await name.fill('Quick')
  await name.press('Enter')
  await dialog.getByText(en.presets.taken).waitFor()
  await name.fill('Not blurry')
  await name.press('Enter')
  await page.getByText(en.presets.saved.replace('{name}', 'Not blurry')).waitFor()
  await preset('Fine').click()
  expect(await page.evaluate(() => sessionStorage.getItem('easel.draft'))).toContain('"negative_prompt":""')

  // Kept over a reload; the seed is no part of a preset. A model that lacks a setting gets its default, and says so.
  await page.evaluate(() => {
    const [saved] = JSON.parse(localStorage.getItem('easel.presets') ?? '[]')
    localStorage.setItem(
      'easel.presets',
      JSON.stringify([saved, { ...saved, name: 'Foreign', scheduler: 'flow_heun' }]),
    )
  })
  await page.reload()
  await modelLoaded(page)
  await preset('Not blurry').click()
  expect(await isOn('Not blurry')).toBe('true')
  await generate(page, 'a cat')
  const { parameters, seeds } = await newestJob()
  expect(parameters).toMatchObject({ negative_prompt: 'blurry', num_inference_steps: 6 })
  expect(seeds).toEqual([7])
  await preset('Foreign').click()
  await page.getByText(en.presets.loadedExcept.replace('{names}', en.fields.scheduler)).waitFor()
  await screenshot(page, 'presets')

  await button(page, '中文').click()
  await preset('快速').waitFor()
  await button(page, zh.presets.manage).click()
  await button(page, zh.presets.delete.replace('{name}', 'Foreign')).click()
  await button(page, zh.presets.delete.replace('{name}', 'Not blurry')).click()
  await page.keyboard.press('Escape')
  expect(await preset('Not blurry').count()).toBe(0)
})

/** Record what the page shows and plays, and hide the tab. */
function recordAnnouncements() {
  const record: string[] = []
  const hidden = { value: false }
  Object.assign(window, { record, hidden })
  Object.defineProperty(document, 'visibilityState', { get: () => (hidden.value ? 'hidden' : 'visible') })
  class RecordedSound extends AudioContext {
    constructor() {
      super()
      record.push('sound')
    }
  }
  class RecordedNotification extends Notification {
    /** In Chromium's headless shell it stays "denied", whatever the browser grants. */
    static override permission: NotificationPermission = 'default'

    static override async requestPermission() {
      return (this.permission = await super.requestPermission())
    }

    constructor(title: string, options?: NotificationOptions) {
      super(title, options)
      record.push(`${title}: ${options?.body ?? ''}`)
    }
  }
  Object.assign(window, { AudioContext: RecordedSound, Notification: RecordedNotification })
}

async function setHidden(page: Page, isHidden: boolean) {
  await page.evaluate((value) => {
    Object.assign(Reflect.get(window, 'hidden'), { value })
    document.dispatchEvent(new Event('visibilitychange'))
  }, isHidden)
}

test('a hidden tab counts in its title, and notifies and plays a sound only if the user wants it', async () => {
  const page = await openPage({ steps: 1 })
  await page.context().grantPermissions(['notifications'])
  await page.addInitScript(recordAnnouncements)
  await page.reload()
  await modelLoaded(page)
  const recorded = () => page.evaluate<unknown>(() => Reflect.get(window, 'record'))
  const generateHidden = async () => {
    await page.locator('#prompt').fill('a red apple')
    await setHidden(page, true)
    await page.locator('#prompt').press('Control+Enter')
    await expect.poll(() => page.title()).toBe(`(1) ${en.announce.title} · Easel`)
    await setHidden(page, false)
    await expect.poll(() => page.title()).toBe('Easel')
  }
  await generateHidden()
  expect(await recorded()).toEqual([])

  await button(page, en.settings.title).click()
  await page.getByLabel(en.announce.notification).check()
  await page.getByLabel(en.announce.sound).check()
  await page.keyboard.press('Escape')
  await generateHidden()
  expect(await recorded()).toEqual(['sound', `Easel: ${en.announce.done.replace('{prompt}', 'a red apple')}`])

  // In a tab that is seen there is only the sound. A notification that the browser refuses loses no image.
  await generate(page)
  expect(await recorded()).toHaveLength(3)
  await page.evaluate(() => {
    const refuse = () => {
      throw new TypeError('Illegal constructor')
    }
    Reflect.set(window, 'Notification', Object.assign(refuse, { permission: 'granted' }))
  })
  await generateHidden()
  expect(await page.locator('.strip li').count()).toBe(4)
  expect(await page.locator('.bar [role=alert]').count()).toBe(0)
})

test('the price of an hour awake is in the header and in the mat while the model wakes', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  const endpoint = { status: 'asleep', detail: '', wake_minutes: [4, 10], usd_per_hour: 0.7364 }
  await page.route(`${EASEL}/health`, (route) => route.fulfill({ json: { status: 'ok', model: 'emoji', endpoint } }))
  expect(await page.locator('header .model').innerText()).not.toContain('USD')
  await page.clock.install()
  await page.reload()
  await modelLoaded(page)
  await page.locator('header').getByText(en.header.cost.replace('{usd}', '0.74')).waitFor()
  const job = { id: 'f'.repeat(44), status: 'queued', message: 'Waking.', images: [], error: null, parameters: {} }
  await page.route(/\/jobs(\/f+)?$/, (route) => route.fulfill({ json: job }))
  await page.route(/\/events$/, (route) => route.abort())
  await page.locator('#prompt').fill('a cat')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('progressbar').waitFor()
  await page.clock.fastForward(10_000)
  await page.locator('.mat').getByText(en.waiting.cost.replace('{usd}', '0.74')).waitFor()
  await screenshot(page, 'waking')
})

test('the page is installable, and opens without a connection with the images of this browser', async () => {
  const page = await openPage({ steps: 1, serviceWorkers: 'allow', expected: /Failed to load resource/ })
  await generate(page)
  const manifest = await page.evaluate(async () => {
    const link = document.querySelector<HTMLLinkElement>('link[rel=manifest]')
    const response = await fetch(link?.href ?? '')
    const { icons }: { icons: { src: string; sizes: string }[] } = await response.json()
    const loaded = await Promise.all(
      icons.map(async ({ src, sizes }) => {
        const image = new Image()
        image.src = new URL(src, link?.href).href
        await image.decode()
        return sizes === `${image.naturalWidth}x${image.naturalHeight}`
      }),
    )
    await navigator.serviceWorker.ready
    return { type: response.headers.get('content-type'), loaded }
  })
  expect(manifest).toEqual({ type: 'application/manifest+json', loaded: [true, true, true] })

  await page.context().setOffline(true)
  await page.reload()
  await page.getByText(en.failure.offline).waitFor()
  await page.locator(STAGE_IMAGE).waitFor()
  await page.locator('header').getByText(en.header.disconnected).waitFor()
  await screenshot(page, 'offline')
  // Parts that were never opened work, too.
  await button(page, en.history.choose).click()
  await button(page, en.history.all).click()
  await Promise.all([page.waitForEvent('download'), button(page, en.history.zip).click()])
  await page.context().setOffline(false)
  await modelLoaded(page)
  await expect.poll(() => page.getByText(en.failure.offline).count()).toBe(0)
})

test('LoRAs of the model are chosen, weighted and sent, with their trigger words and defaults', async () => {
  const page = await openPage({ steps: null })
  const lora = (id: string, changes = {}) => ({
    ...{ id, name: id, name_in: {}, scale: 1, words: [], scheduler: null, num_inference_steps: null },
    ...{ guidance_scale: null, ...changes },
  })
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    body.models[0].loras = [
      lora('flat', { scale: 0.8, words: ['flat style'] }),
      lora('fast', { num_inference_steps: 2 }),
    ]
    await route.fulfill({ json: body })
  })
  let sent: Record<string, unknown> = {}
  await page.route(`${EASEL}/jobs`, async (route) => {
    const { loras, ...body } = route.request().postDataJSON()
    sent = { loras, ...body }
    await route.continue({ postData: JSON.stringify(body) })
  })
  await page.reload()
  await modelLoaded(page)
  await page.getByRole('button', { name: 'flat', exact: true }).click()
  await page.getByRole('button', { name: 'fast', exact: true }).click()
  await page.getByRole('spinbutton', { name: en.loras.scale.replace('{name}', 'flat') }).fill('0.5')
  await page.locator('#prompt').fill('a red apple')
  await page.getByRole('button', { name: '+ flat style', exact: true }).click()
  await screenshot(page, 'loras')
  await generate(page, 'a red apple, flat style')
  const loras = [
    { id: 'flat', scale: 0.5 },
    { id: 'fast', scale: 1 },
  ]
  expect(sent).toMatchObject({ loras, num_inference_steps: 2 })
  await page.getByRole('button', { name: 'flat', exact: true }).click()
  await page.evaluate(() => (location.hash = '#prompt=a+cat&loras=flat:0.3'))
  await page.getByText(en.notice.loaded).waitFor()
  await generate(page, 'a cat')
  expect(sent).toMatchObject({ loras: [{ id: 'flat', scale: 0.3 }] })
})

test('the embedded model’s LoRA changes the image, and comes back with its settings', async () => {
  const page = await openPage({ storage: { 'easel.draft': JSON.stringify({ seed: 7, seedLocked: true }) } })
  const comic = page.getByRole('button', { name: 'Comic', exact: true })
  const stageImage = () => page.locator(STAGE_IMAGE).getAttribute('src')
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
  const plain = await stageImage()
  await comic.click()
  await page.getByRole('spinbutton', { name: en.loras.scale.replace('{name}', 'Comic') }).fill('0.9')
  await generate(page)
  await expect.poll(stageImage).not.toBe(plain)
  expect((await newestJob()).parameters).toMatchObject({ loras: [{ id: 'comic', scale: 0.9 }] })
  await screenshot(page, 'lora-comic')
  await comic.click()
  await button(page, en.actions.reuse).click()
  expect(await comic.getAttribute('aria-pressed')).toBe('true')
  await page.setViewportSize({ width: 360, height: 740 })
  await screenshot(page, 'lora-comic-phone', { fullPage: true })
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360)
})

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
  await expect.poll(() => picker.locator('option').allTextContents()).toEqual(['Emoji', 'Studio · asleep, 4–10 min'])
  await expect.poll(() => page.locator('#model-state').textContent()).toBe('ready')
  await page.locator('#prompt').fill('a red apple')
  await button(page, 'Comic').click()
  await openAdvanced(page)
  await page.getByRole('checkbox', { name: en.hires.use }).check()
  await page.locator('#seed').fill('7')
  await page.locator('#seed').press('Tab')

  await picker.focus()
  await picker.press('ArrowDown')
  await page.getByText('256 × 192').first().waitFor()
  expect(await page.locator('#model-state').textContent()).toBe('asleep, 4–10 min')
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

test('an image that the safety checker flagged is blurred until the user wants to see it', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    body.models[0].content = ['refuse', 'flag']
    await route.fulfill({ json: body })
  })
  let sent: Record<string, unknown> = {}
  await page.route(/\/jobs$/, async (route) => {
    const { content, ...body } = route.request().postDataJSON()
    sent = { content, ...body }
    await route.continue({ postData: JSON.stringify(body) })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, async (route) => {
    const response = await route.fetch()
    const job = await response.json()
    for (const image of job.images) image.flagged = true
    await route.fulfill({ response, json: job })
  })
  await page.reload()
  await modelLoaded(page)
  await openAdvanced(page)
  await page.getByRole('checkbox', { name: en.flagged.want }).check()
  await generate(page)
  expect(sent).toHaveProperty('content', 'flag')
  const blurred = page.locator('img.flagged')
  await expect.poll(() => blurred.count()).toBe(2) // on the stage and in the history
  await screenshot(page, 'flagged')
  await page.reload()
  await modelLoaded(page)
  await button(page, en.flagged.show).click()
  await expect.poll(() => blurred.count()).toBe(0)
  await button(page, en.flagged.hide).click()
  await expect.poll(() => blurred.count()).toBe(2)
})
