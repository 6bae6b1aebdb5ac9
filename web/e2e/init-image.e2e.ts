import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  STAGE_IMAGE,
  button,
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
  const page = await openPage({ steps: 150 })
  const positions = () =>
    page
      .locator('.mat, .bar, .panel, .progress')
      .evaluateAll((elements) => elements.map((element) => JSON.stringify(element.getBoundingClientRect())))
  await startGeneration(page)
  await page.getByText(/^Step \d+ of 150$/).waitFor()
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
