import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  STAGE_IMAGE,
  button,
  download,
  generate,
  modelLoaded,
  newestJob,
  openPage,
  required,
  screenshot,
} from './browser'

const SIDE = 128
const CANVAS = 'dialog canvas'
const dialog = (page: Page) => page.getByRole('dialog', { name: en.inpaint.open })

/** Red, green, blue and alpha of each pixel of an image file. */
async function pixelsOf(page: Page, base64: string) {
  const { width, height, data } = await page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    const bitmap = await createImageBitmap(new Blob([bytes]))
    const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height })
    const context = canvas.getContext('2d')
    context?.drawImage(bitmap, 0, 0)
    const pixels = context?.getImageData(0, 0, bitmap.width, bitmap.height)
    return { width: bitmap.width, height: bitmap.height, data: [...(pixels?.data ?? [])] }
  }, base64)
  const at = (x: number, y: number) => data.slice((y * width + x) * 4, (y * width + x) * 4 + 3)
  return { width, height, at }
}

/** A PNG of random pixels. */
async function noise(page: Page, width = SIDE, height = SIDE): Promise<Buffer> {
  const dataUrl = await page.evaluate(
    (size) => {
      const canvas = Object.assign(document.createElement('canvas'), size)
      const pixels = new ImageData(size.width, size.height)
      for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = i % 4 === 3 ? 255 : Math.random() * 256
      canvas.getContext('2d')?.putImageData(pixels, 0, 0)
      return canvas.toDataURL('image/png')
    },
    { width, height },
  )
  return Buffer.from(required(dataUrl.split(',')[1]), 'base64')
}

async function openEditor(page: Page, file: Buffer) {
  await page.locator('input[type=file]').setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: file })
  await button(page, en.inpaint.open).click()
  await page.locator(CANVAS).waitFor()
}

/** Move the mouse from one place of the image to another, in its pixels, with the button down. */
async function stroke(page: Page, from: [number, number], to = from) {
  const box = required(await page.locator(CANVAS).boundingBox())
  const place = ([x, y]: [number, number]) => [box.x + (x * box.width) / SIDE, box.y + (y * box.height) / SIDE] as const
  await page.mouse.move(...place(from))
  await page.mouse.down()
  await page.mouse.move(...place(to), { steps: 4 })
  await page.mouse.up()
}

const isMarked = (page: Page, x: number, y: number) =>
  page
    .locator(CANVAS)
    .evaluate(
      (canvas: HTMLCanvasElement, [left, top]) =>
        (canvas.getContext('2d')?.getImageData(left, top, 1, 1).data[3] ?? 0) > 127,
      [x, y] as const,
    )

interface SentRequest {
  init_image: string
  mask_image: string
}

async function requestOf(page: Page): Promise<SentRequest> {
  const [request] = await Promise.all([
    page.waitForRequest((candidate) => candidate.method() === 'POST'),
    generate(page),
  ])
  const body: SentRequest = request.postDataJSON()
  return body
}

test('only what the brush marks is generated, and the rest of the image stays exactly as it is', async () => {
  const page = await openPage()
  const file = await noise(page)
  await openEditor(page, file)
  await stroke(page, [30, 64], [90, 64])
  await screenshot(page, 'inpaint')
  await button(page, en.inpaint.done).click()
  await page.getByText(en.inpaint.masked).waitFor()
  // The mask and the image are kept over a reload.
  await page.reload()
  await modelLoaded(page)
  await page.getByText(en.inpaint.masked).waitFor()
  const request = await requestOf(page)
  expect(request).toMatchObject({ width: SIDE, height: SIDE, strength: 1, mask_blur: 4 })
  const [sent, mask] = [await pixelsOf(page, request.init_image), await pixelsOf(page, request.mask_image)]
  expect([mask.width, mask.height]).toEqual([SIDE, SIDE])
  // The brush has 15 % of the side: 9.6 pixels to each side of the stroke.
  for (const [x, y] of [
    [30, 64],
    [60, 56],
    [90, 72],
    [97, 64],
  ] as const)
    expect(mask.at(x, y), `${x}, ${y}`).toEqual([255, 255, 255])
  for (const [x, y] of [
    [60, 52],
    [60, 76],
    [18, 64],
    [102, 64],
    [0, 0],
  ] as const)
    expect(mask.at(x, y), `${x}, ${y}`).toEqual([0, 0, 0])

  await page.locator(STAGE_IMAGE).waitFor()
  const [original, result] = [
    await pixelsOf(page, file.toString('base64')),
    await pixelsOf(page, (await download(page)).bytes.toString('base64')),
  ]
  const different = { inside: 0, outside: 0 }
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const isSame = String(result.at(x, y)) === String(original.at(x, y))
      if (String(sent.at(x, y)) !== String(original.at(x, y))) throw new Error(`${x}, ${y} was sent otherwise`)
      if (!isSame) different[mask.at(x, y)[0] ? 'inside' : 'outside']++
    }
  }
  expect(different.outside).toBe(0)
  expect(different.inside).toBeGreaterThan(500)

  // The result stands beside the original, and takes its place.
  await button(page, en.actions.compare).click()
  await page.locator('.compare .before img').waitFor()
  await button(page, en.actions.useAsInitImage).click()
  await page.getByText(en.inpaint.masked).waitFor({ state: 'detached' })
  // "Reuse all" brings image and mask back.
  await button(page, en.actions.reuse).click()
  await page.getByText(en.inpaint.masked).waitFor()
  const again = await requestOf(page)
  expect([again.init_image, again.mask_image]).toEqual([request.init_image, request.mask_image])
  expect((await newestJob()).parameters).toMatchObject({ mask_mode: 'white' })
})

test('strokes are erased, undone, redone, inverted and cleared, by mouse, keyboard and pen', async () => {
  const page = await openPage()
  await openEditor(page, await noise(page))
  const marks = async (expected: boolean) => expect.poll(() => isMarked(page, 64, 64)).toBe(expected)
  await stroke(page, [40, 64], [90, 64])
  await marks(true)
  await page.keyboard.press('e')
  await stroke(page, [64, 64])
  await marks(false)
  expect(await isMarked(page, 40, 64)).toBe(true)
  await page.keyboard.press('Control+z')
  await marks(true)
  await button(page, en.inpaint.redo).click()
  await marks(false)
  await button(page, en.inpaint.invert).click()
  await marks(true)
  expect(await isMarked(page, 40, 64)).toBe(false)
  await button(page, en.inpaint.clear).click()
  await marks(false)
  expect(await button(page, en.inpaint.clear).getAttribute('aria-disabled')).toBe('true')

  // The keyboard begins in the middle.
  const canvas = page.getByRole('application', { name: en.inpaint.canvas })
  await page.keyboard.press('b')
  await canvas.focus()
  await page.keyboard.down(' ')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.up(' ')
  await marks(true)
  expect(await isMarked(page, 80, 64)).toBe(true)
  expect(await isMarked(page, 50, 64)).toBe(false)
  await page.getByText(en.inpaint.share.replace('{percent}', '4')).waitFor()

  // A zoomed canvas, and a pen with its eraser.
  await button(page, en.lightbox.zoomIn).click()
  await canvas.evaluate(
    (element, [type, ...kinds]) => {
      const box = element.getBoundingClientRect()
      const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 }
      element.setPointerCapture = () => undefined
      for (const kind of kinds) {
        const buttons = kind === 'pointerup' ? 0 : 32
        const pen = { pointerType: type, isPrimary: true, pointerId: 1, button: 5, buttons, bubbles: true, ...at }
        element.dispatchEvent(new PointerEvent(kind, pen))
      }
    },
    ['pen', 'pointerdown', 'pointermove', 'pointerup'],
  )
  await marks(false)

  // What an eraser has emptied is refused before it is sent.
  await button(page, en.inpaint.clear).click()
  await stroke(page, [64, 64])
  await page.keyboard.press('e')
  await stroke(page, [64, 64])
  await button(page, en.inpaint.done).click()
  await page.locator('#prompt').fill('a red apple')
  await page.locator('.bar button').click()
  await page.getByText(en.errors.empty_mask).waitFor()
  await button(page, en.inpaint.reset).click()
  await page.getByText(en.errors.empty_mask).waitFor({ state: 'detached' })
})

test('an image is extended at its sides, by finger, and compared with what it was', async () => {
  const page = await openPage({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
  const file = await noise(page)
  await openEditor(page, file)
  const margin = (name: string) => dialog(page).getByRole('spinbutton', { name, exact: true })
  await margin(en.inpaint.right).fill('64')
  await margin(en.inpaint.right).press('Enter')
  await dialog(page).getByText('192 × 128').waitFor()
  const [frame, image] = [
    required(await page.locator('dialog .frame').boundingBox()),
    required(await page.locator('dialog .image').boundingBox()),
  ]
  expect(image.width / frame.width).toBeCloseTo(128 / 192)
  // A finger paints.
  const box = required(await page.locator(CANVAS).boundingBox())
  await page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2)
  await expect.poll(() => isMarked(page, 64, 64)).toBe(true)
  await screenshot(page, 'inpaint-phone')
  await button(page, en.inpaint.done).click()
  await page.getByText(en.inpaint.extended.replace('{sides}', 'Right 64')).waitFor()
  const request = await requestOf(page)
  expect(request).toMatchObject({ width: 192, height: 128, outpaint: { left: 0, right: 64, top: 0, bottom: 0 } })
  await page.locator(STAGE_IMAGE).waitFor()
  const [original, result] = [
    await pixelsOf(page, file.toString('base64')),
    await pixelsOf(page, (await download(page)).bytes.toString('base64')),
  ]
  expect([result.width, result.height]).toEqual([192, 128])
  for (const [x, y] of [
    [0, 0],
    [40, 100],
    [127, 127],
  ] as const)
    expect(result.at(x, y)).toEqual(original.at(x, y))
  await button(page, en.actions.compare).click()
  const [before, whole] = [
    required(await page.locator('.compare .before img').boundingBox()),
    required(await page.locator('.compare').boundingBox()),
  ]
  expect(before.width / whole.width).toBeCloseTo(128 / 192)
})

test('the brush is offered only where the model has it, and a large image is fitted into its bounds', async () => {
  const page = await openPage()
  await openEditor(page, await noise(page, 1600, 1200))
  await dialog(page).getByText('1024 × 768').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.custom').waitFor({ state: 'detached' })
  // Margins make it smaller, and "Change all of it" gives the request the size that it had before.
  await button(page, en.inpaint.open).click()
  const right = dialog(page).getByRole('spinbutton', { name: en.inpaint.right, exact: true })
  await right.fill('512')
  await right.press('Enter')
  await dialog(page).getByText('1024 × 384').waitFor()
  await button(page, en.inpaint.done).click()
  await page.locator('.custom').waitFor()
  await button(page, en.inpaint.reset).click()
  await page.locator('.custom').waitFor({ state: 'detached' })
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).text()
    await route.fulfill({ body: body.replace('"inpaint",', ''), contentType: 'application/json' })
  })
  await page.reload()
  await modelLoaded(page)
  await page.getByAltText(en.initImage.alt).waitFor()
  expect(await button(page, en.inpaint.open).count()).toBe(0)
})
