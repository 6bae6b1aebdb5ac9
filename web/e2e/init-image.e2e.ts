import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  download,
  drop,
  fixturePath,
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

const CHINESE = '一只可爱的熊猫，坐在沙发上'
const PREVIEW = '.preview img'

/** Whether the progress overlaps the preview. */
async function progressHidesPreview(page: Page): Promise<boolean> {
  const progress = required(await page.locator('.progress').boundingBox())
  const preview = required(await page.locator(PREVIEW).boundingBox())
  return progress.y < preview.y + preview.height && preview.y < progress.y + progress.height
}

test('a dropped image is the init image, until it is removed', async () => {
  const page = await openPage({ steps: 8 })
  await drop(page, await readFile(fixturePath('bare.png')), 'a.png', 'image/png')
  await page.getByAltText(en.initImage.alt).waitFor()
  await page.getByRole('spinbutton', { name: en.fields.strength }).fill('0.5')
  await screenshot(page, 'init-image')
  await generate(page, 'a green apple')
  await page.locator(STAGE_IMAGE).waitFor()
  const { parameters } = await newestJob()
  expect(parameters).toMatchObject({ strength: 0.5, num_inference_steps: 8, embed_parameters: true })
  expect(parameters.init_image).toMatch(/^sha256:[0-9a-f]{64}$/)
  await screenshot(page, 'init-image-result')

  // The image over its init image, with a slider, also after a reload.
  await page.reload()
  await modelLoaded(page)
  await button(page, en.actions.compare).click()
  const slider = page.getByRole('slider', { name: en.stage.share })
  const before = page.locator('.compare .before')
  const width = () => before.locator('img').evaluate((image: HTMLImageElement) => image.naturalWidth)
  await expect.poll(width).toBe(128)
  const clipped = () => before.evaluate((image) => getComputedStyle(image).clipPath)
  expect(await clipped()).toBe('inset(0px 50% 0px 0px)')
  await slider.press('ArrowRight')
  await expect.poll(clipped).toBe('inset(0px 49% 0px 0px)')
  const box = required(await page.locator('.compare').boundingBox())
  await page.mouse.click(box.x + box.width * 0.9, box.y + box.height / 2)
  await expect.poll(async () => Number(await slider.inputValue())).toBeGreaterThan(80)
  await screenshot(page, 'compare')
  await button(page, en.actions.compare).click()
  await page.locator(STAGE_IMAGE).waitFor()
  await drop(page, await readFile(fixturePath('bare.png')), 'a.png', 'image/png')

  await button(page, en.initImage.clear).click()
  await generate(page, 'a green apple')
  expect((await newestJob()).parameters).toMatchObject({ strength: null, init_image: null })
})

test('a file that is no image is reported at once, and nothing is sent', async () => {
  const page = await openPage()
  const error = page.locator('#init_image-error')
  await drop(page, Buffer.from('no image'), 'a.png', 'image/png')
  await error.getByText(en.errors.bad_image).waitFor()
  await startGeneration(page)
  await error.getByText(en.errors.bad_image).waitFor()
  expect(await page.locator('.stage[aria-busy=true]').count()).toBe(0)
  await drop(page, await readFile(fixturePath('bare.png')), 'b.png', 'image/png')
  await error.waitFor({ state: 'detached' })
})

test('an init image over the limit is made smaller', async () => {
  const limit = 2000
  const page = await openPage()
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    body.models[0].bounds.init_image_bytes = limit
    await route.fulfill({ json: body })
  })
  await page.reload()
  await modelLoaded(page)
  await drop(page, await noise(page), 'noise.png', 'image/png')
  await page.getByAltText(en.initImage.alt).waitFor()
  const [request] = await Promise.all([
    page.waitForRequest((candidate) => candidate.method() === 'POST'),
    generate(page),
  ])
  const { init_image, width, height } = request.postDataJSON()
  const { length } = Buffer.from(init_image, 'base64')
  expect(length).toBeGreaterThan(0)
  expect(length).toBeLessThanOrEqual(limit)
  await page.locator(STAGE_IMAGE).waitFor()
  expect((await newestJob()).parameters).toMatchObject({ width, height })
})

/** A PNG of random pixels, which JPEG cannot compress well. */
async function noise(page: Page): Promise<Buffer> {
  const dataUrl = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 256, height: 256 })
    const context = canvas.getContext('2d')
    const pixels = new ImageData(256, 256)
    pixels.data.forEach((_, i) => {
      pixels.data[i] = i % 4 === 3 ? 255 : Math.random() * 256
    })
    context?.putImageData(pixels, 0, 0)
    return canvas.toDataURL('image/png')
  })
  return Buffer.from(dataUrl.replace(/^.*,/, ''), 'base64')
}

test('during generation the preview is visible, and nothing moves', async () => {
  const page = await openPage({ steps: 60 })
  const positions = () =>
    page
      .locator('.mat, .bar, .panel, .progress')
      .evaluateAll((elements) => elements.map((element) => JSON.stringify(element.getBoundingClientRect())))
  await startGeneration(page)
  await page.getByText(/^Step \d+ of 60$/).waitFor()
  const before = await positions()
  const preview = page.getByAltText(en.progress.preview)
  await preview.waitFor()
  const first = await preview.getAttribute('src')
  expect(await positions()).toEqual(before)
  expect(await progressHidesPreview(page)).toBe(false)
  await page.waitForFunction((source) => {
    const image = document.querySelector<HTMLImageElement>('.preview img')
    return image && image.src !== source
  }, first)
  const { width, height } = required(await preview.boundingBox())
  await screenshot(page, 'preview')
  await idle(page)
  const result = required(await page.locator(STAGE_IMAGE).boundingBox())
  expect([Math.round(width), Math.round(height)]).toEqual([Math.round(result.width), Math.round(result.height)])
  expect(await preview.count()).toBe(0)
})

/** Whether the preview and the progress are in view, above the bar. */
function isStageInView(): boolean {
  const [stage, bar, progress] = ['.mat:has(.preview)', '.bar', '.progress'].map((selector) =>
    document.querySelector(selector)?.getBoundingClientRect(),
  )
  return Boolean(stage && bar && progress && stage.top >= 0 && progress.bottom <= bar.top)
}

test('on a phone the page scrolls to the preview, and stays there if a control loads late', async () => {
  const page = await openPage({ steps: 150, viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true })
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  await page.route('**/SliderField-*.js', (route) => released.then(() => route.continue()))
  await page.locator('input[type=file]').setInputFiles(fixturePath('bare.png'))
  await page.locator('#prompt').fill('a red apple')
  await page.locator('.bar button').click()
  await page.waitForFunction(isStageInView)
  release()
  await page.getByRole('slider').waitFor({ state: 'attached' })
  expect(await page.evaluate(isStageInView)).toBe(true)
  expect(await progressHidesPreview(page)).toBe(false)
  await screenshot(page, 'preview-phone')
  await button(page, en.generate.cancel).click()
  await idle(page)
  await expect.poll(async () => (await newestJob()).status).toBe('cancelled')
})

test.each(['png', 'webp', 'jpeg'])('the page reads the parameters that the server writes into a %s', async (format) => {
  const draft = JSON.stringify({ num_inference_steps: 3, output_format: format, negative_prompt: '模糊' })
  const page = await openPage({ storage: { 'easel.draft': draft } })
  await generate(page, CHINESE)
  const { bytes } = await download(page)
  const { parameters } = await newestJob()

  const other = await openPage()
  await drop(other, bytes, `a.${format}`, `image/${format}`)
  await button(other, en.drop.load).click()
  expect(await other.locator('#prompt').inputValue()).toBe(CHINESE)
  await openAdvanced(other)
  const value = (name: string) => other.getByRole('spinbutton', { name }).inputValue()
  expect(await other.locator('#negative_prompt').inputValue()).toBe('模糊')
  expect(await value(en.fields.seed)).toBe(String(parameters.seed))
  expect(await value(en.fields.num_inference_steps)).toBe('3')
})

/** Let the page's model look at three images. Return the requests. */
async function editingModel(page: Page): Promise<Record<string, unknown>[]> {
  const sent: Record<string, unknown>[] = []
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    const [model] = body.models
    const all: string[] = model.features
    const features = all.filter((name) => !['image_to_image', 'inpaint'].includes(name))
    await route.fulfill({ json: { models: [{ ...model, features, edits: 3 }] } })
  })
  const withImages = async (response: { json: () => Promise<Record<string, unknown>> }) => {
    const job: Record<string, unknown> = await response.json()
    const images = required(sent.at(-1)).images
    return { ...job, parameters: { ...Object(job.parameters), images } }
  }
  await page.route(/\/jobs$/, async (route) => {
    const { images, ...body } = route.request().postDataJSON()
    sent.push({ images, ...body })
    const response = await route.fetch({ postData: JSON.stringify(body) })
    await route.fulfill({ response, json: await withImages(response) })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: await withImages(response) })
  })
  await page.reload()
  await modelLoaded(page)
  return sent
}

/** A PNG of one colour. */
async function picture(page: Page, name: string, size: { width: number; height: number }, colour: string) {
  const url = await page.evaluate(
    ([sides, fill]) => {
      const canvas = Object.assign(document.createElement('canvas'), sides)
      const context = canvas.getContext('2d')
      if (context) context.fillStyle = fill
      context?.fillRect(0, 0, sides.width, sides.height)
      return canvas.toDataURL('image/png')
    },
    [size, colour] as const,
  )
  return { name, mimeType: 'image/png', buffer: Buffer.from(required(url.split(',')[1]), 'base64') }
}

test('pictures for the prompt are added, ordered, removed by keyboard, sent, and come back', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  const sent = await editingModel(page)
  const panel = page.getByRole('group', { name: en.fields.images })
  const named = (text: string, number: number) => button(page, text.replace('{number}', String(number)))
  const input = panel.locator('input[type=file]')
  const wide = await picture(page, 'wide.png', { width: 192, height: 96 }, 'red')
  const tall = await picture(page, 'tall.png', { width: 64, height: 128 }, 'blue')
  await input.setInputFiles([wide, tall])
  await panel.locator('li').nth(1).waitFor()
  // The size follows the first picture.
  await page.getByText('176 × 80').waitFor()
  await named(en.edits.earlier, 2).focus()
  await page.keyboard.press('Enter')
  await page.getByText('64 × 128').waitFor()
  expect(await named(en.edits.earlier, 1).evaluate((element) => element === document.activeElement)).toBe(true)

  // A picture that is too long, and more than the model looks at.
  const long = await picture(page, 'long.png', { width: 64, height: 600 }, 'green')
  await input.setInputFiles([long])
  await page.getByText(en.edits.proportions.split('{')[0] ?? '').waitFor()
  await page.evaluate(() => document.querySelector<HTMLElement>('.notice')?.hidePopover())
  await input.setInputFiles([wide, wide])
  await page.getByText(en.edits.full.replace('{count}', '3')).waitFor()
  expect(await button(page, en.edits.add).count()).toBe(0)
  await named(en.edits.remove, 3).focus()
  await page.keyboard.press('Delete')
  await expect.poll(() => panel.locator('li').count()).toBe(2)
  expect(await named(en.edits.remove, 2).evaluate((element) => element === document.activeElement)).toBe(true)

  // They are kept over a reload, and sent in their order.
  await page.reload()
  await panel.locator('li').nth(1).waitFor()
  await screenshot(page, 'edits')
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
  const files = [tall, wide].map(({ buffer }) => buffer.toString('base64'))
  expect(sent.at(-1)).toMatchObject({ images: files, width: 64, height: 128 })

  // From the history, and all again with "Reuse all".
  await chooseMenuItem(page, en.edits.use)
  await panel.locator('li').nth(2).waitFor()
  await named(en.edits.remove, 1).click()
  await named(en.edits.remove, 1).click()
  await named(en.edits.remove, 1).click()
  await expect.poll(() => panel.locator('li').count()).toBe(0)
  await button(page, en.actions.reuse).click()
  await panel.locator('li').nth(1).waitFor()
  await generate(page)
  expect(sent.at(-1)).toMatchObject({ images: files })
})

test('dropped and opened pictures join the others, on a phone', async () => {
  const page = await openPage({ expected: /ERR_FAILED/, viewport: { width: 390, height: 844 } })
  await editingModel(page)
  const items = page.getByRole('group', { name: en.fields.images }).locator('li')
  const { buffer } = await picture(page, 'a.png', { width: 128, height: 128 }, 'red')
  await drop(page, buffer, 'a.png', 'image/png')
  await items.first().waitFor()
  // A picture with parameters may be either.
  await page.locator('.foot input[type=file]').setInputFiles(fixturePath('stealth.png'))
  await page.locator('dialog').getByRole('button', { name: en.edits.use }).click()
  await items.nth(1).waitFor()
  await screenshot(page, 'edits-phone', { fullPage: true })
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
})

test('a picture controls the image: chosen, weighted, sent, and back with "Reuse all"', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  const sent: Record<string, unknown>[] = []
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    const entry = { name_in: { 'zh-CN': '边缘' }, scale: 0.8, preprocess: 'canny' }
    body.models[0].controls = [
      { ...entry, id: 'edges', name: 'Edges' },
      { ...entry, id: 'pose', name: 'Pose', preprocess: null },
    ]
    await route.fulfill({ json: body })
  })
  const withControl = async (response: { json: () => Promise<Record<string, unknown>> }) => {
    const job: Record<string, unknown> = await response.json()
    return { ...job, parameters: { ...Object(job.parameters), control: sent.at(-1)?.control } }
  }
  await page.route(/\/jobs$/, async (route) => {
    const { control, ...body } = route.request().postDataJSON()
    sent.push({ control, ...body })
    const response = await route.fetch({ postData: JSON.stringify(body) })
    await route.fulfill({ response, json: await withControl(response) })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: await withControl(response) })
  })
  await page.reload()
  await modelLoaded(page)

  const edges = page.getByRole('button', { name: 'Edges', exact: true })
  await edges.click()
  // Nothing is sent without a picture.
  await startGeneration(page)
  await page.getByText(en.errors.no_control_image).waitFor()
  expect(sent).toEqual([])
  const { buffer, ...file } = await picture(page, 'a.png', { width: 128, height: 128 }, 'red')
  const panel = page.getByRole('group', { name: en.fields.control })
  await panel.locator('input[type=file]').setInputFiles({ buffer, ...file })
  await page.getByAltText(en.control.image.replace('{name}', 'Edges')).waitFor()
  await page.getByRole('checkbox', { name: en.control.edges }).check()
  const scale = page.getByRole('spinbutton', { name: en.loras.scale.replace('{name}', 'Edges') })
  await scale.fill('0.5')
  await scale.press('Tab')
  const end = page.getByRole('spinbutton', { name: en.control.end.replace('{name}', 'Edges') })
  await end.fill('0.6')
  await end.press('Tab')
  await page.reload()
  await page.getByAltText(en.control.image.replace('{name}', 'Edges')).waitFor()
  await screenshot(page, 'control')
  await generate(page)
  const image = buffer.toString('base64')
  const control = [{ id: 'edges', scale: 0.5, start: 0, end: 0.6, preprocess: 'canny', image }]
  expect(sent.at(-1)).toMatchObject({ control })
  await edges.click()
  await generate(page)
  expect(sent.at(-1)?.control).toBeUndefined()
  await page.locator('.strip li button').nth(1).click()
  await button(page, en.actions.reuse).click()
  await expect.poll(() => edges.getAttribute('aria-pressed')).toBe('true')
  await generate(page)
  expect(sent.at(-1)).toMatchObject({ control })
})

test('what a model does not take together with a ControlNet is hidden, or a note says so', async () => {
  const page = await openPage()
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    const entry = { name_in: {}, scale: 0.8, preprocess: null }
    const names = ['Edges', 'Pose']
    body.models[0].controls = names.map((name) => ({ ...entry, id: name.toLowerCase(), name }))
    body.models[0].control_without = ['init_image', 'mask_image', 'hires', 'range']
    body.models[0].bounds.controls.maximum = 1
    await route.fulfill({ json: body })
  })
  await page.reload()
  await modelLoaded(page)
  const panel = page.getByRole('group', { name: en.fields.control })
  await panel.getByRole('button', { name: 'Edges', exact: true }).click()
  await panel.getByRole('spinbutton').waitFor()
  expect(await panel.getByRole('spinbutton').count()).toBe(1)
  expect(await panel.getByRole('button', { name: 'Pose' }).getAttribute('aria-disabled')).toBe('true')
  await openAdvanced(page)
  await page.getByText(en.hires.withoutControl).waitFor()
  expect(await page.getByRole('checkbox', { name: en.hires.use }).isDisabled()).toBe(true)
  await drop(page, await readFile(fixturePath('bare.png')), 'a.png', 'image/png')
  await panel.getByText(en.control.withoutInit).waitFor()
})
