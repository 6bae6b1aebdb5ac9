import { readdirSync, readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import { STAGE_IMAGE, button, generate, modelLoaded, openPage, required, screenshot } from './browser'

const CATALOGUE = `${import.meta.dirname}/../../models`
const ENTRIES = readdirSync(CATALOGUE).filter((name) => name.endsWith('.json'))
const SIZES = [...new Set(ENTRIES.flatMap(sizesOf))].map((size) => size.split('x').map(Number))
const WINDOWS = [
  [360, 740],
  [390, 844],
  [820, 1180],
  [1366, 768],
  [1400, 950],
  [1920, 1080],
] as const

function sizesOf(name: string): string[] {
  const entry: { sizes: [number, number][] } = JSON.parse(readFileSync(`${CATALOGUE}/${name}`, 'utf8'))
  return entry.sizes.map((size) => size.join('x'))
}

/** Store a plain image of each size in the history, as if it had been generated. */
async function fillHistory(page: Page, sizes: number[][]) {
  await page.evaluate(async (all) => {
    const db = await new Promise<IDBDatabase>((resolve) => {
      const opening = indexedDB.open('easel.history')
      opening.onsuccess = () => resolve(opening.result)
    })
    const entries = await Promise.all(
      all.map(async ([width = 1, height = 1], i) => {
        const canvas = new OffscreenCanvas(width, height)
        const context = canvas.getContext('2d')
        if (context) Object.assign(context, { fillStyle: `hsl(${i * 40} 60% 50%)` }).fillRect(0, 0, width, height)
        const file = await canvas.convertToBlob()
        const parameters = { prompt: `${width}x${height}`, negative_prompt: '', width, height, seed: i }
        const more = { model: 'x', mediaType: 'image/png', seconds: 1, warnings: [], thumbnail: file }
        return { file, image: { id: `${i}-0`, createdAt: i, parameters, ...more } }
      }),
    )
    const transaction = db.transaction(['images', 'files'], 'readwrite')
    for (const { image, file } of entries) {
      transaction.objectStore('images').put(image)
      transaction.objectStore('files').put(file, image.id)
    }
    await new Promise((resolve) => (transaction.oncomplete = resolve))
    db.close()
  }, sizes)
}

/** Pixels by which the image on the stage sticks out of the mat, and its deviation from its own proportions. */
function measureStage() {
  const image = document.querySelector('.stage .image img')
  const mat = document.querySelector('.mat')
  if (!(image instanceof HTMLImageElement) || !mat) return null
  const [inner, outer] = [image.getBoundingClientRect(), mat.getBoundingClientRect()]
  return {
    out: Math.max(
      outer.left - inner.left,
      inner.right - outer.right,
      outer.top - inner.top,
      inner.bottom - outer.bottom,
    ),
    stretched: Math.abs((inner.width / inner.height) * (image.naturalHeight / image.naturalWidth) - 1),
    scale: inner.width / image.naturalWidth,
    matHeight: outer.height / innerHeight,
  }
}

test('a finished image is whole in the mat, for each size of the catalogue and each window', async () => {
  const page = await openPage()
  await fillHistory(page, SIZES)
  await page.reload()
  await modelLoaded(page)
  await page.locator(STAGE_IMAGE).waitFor()
  expect(await page.locator('.strip li').count()).toBe(SIZES.length)
  await page.locator('h1').click()
  for (let i = SIZES.length - 1; i >= 0; i--) {
    const [width, height] = SIZES[i] ?? []
    await page.getByAltText(`${width}x${height}`).waitFor()
    await page.waitForFunction(() => document.querySelector<HTMLImageElement>('.stage .image img')?.complete)
    for (const [windowWidth, windowHeight] of WINDOWS) {
      await page.setViewportSize({ width: windowWidth, height: windowHeight })
      const name = `${width}x${height} at ${windowWidth}x${windowHeight}`
      const { out, stretched, scale, matHeight } = required(await page.evaluate(measureStage))
      expect(out, name).toBeLessThanOrEqual(0)
      expect(stretched, name).toBeLessThan(0.02)
      expect(scale, name).toBeLessThanOrEqual(3.01)
      expect(matHeight, name).toBeLessThan(0.9)
    }
    await page.keyboard.press('ArrowRight')
  }
})

test('on a phone: help, a whole empty stage, and a tapped thumbnail that is shown', async () => {
  const page = await openPage({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true })
  expect(await button(page, en.help.title).isVisible()).toBe(true)
  const clipped = await page
    .locator('.mat')
    .evaluate(
      (mat) =>
        [...mat.querySelectorAll('p, button, summary')]
          .filter((element) => element.checkVisibility())
          .filter(
            (element) =>
              element.getBoundingClientRect().bottom > mat.getBoundingClientRect().bottom ||
              element.getBoundingClientRect().top < mat.getBoundingClientRect().top,
          ).length,
    )
  expect(clipped).toBe(0)
  await screenshot(page, 'phone-empty', { fullPage: true })
  await fillHistory(
    page,
    Array.from({ length: 30 }, () => [512, 512]),
  )
  await page.reload()
  const last = page.locator('.strip li button').last()
  await last.scrollIntoViewIfNeeded()
  await last.tap()
  await page.waitForFunction(() => {
    const { top = -1, bottom = 0 } = document.querySelector('.mat')?.getBoundingClientRect() ?? {}
    return top >= 0 && bottom <= innerHeight
  })
})

test('at a zoom of 200 % the progress is in the window', async () => {
  const page = await openPage({ steps: 150, viewport: { width: 683, height: 384 } })
  await page.locator('#prompt').fill('a red apple')
  await page.keyboard.press('Control+Enter')
  await page.getByText(/^Step \d+ of 150$/).waitFor()
  await page.waitForFunction(() => {
    const [bar, progress] = ['.bar', '.progress'].map((name) => document.querySelector(name)?.getBoundingClientRect())
    return bar && progress && progress.top >= 0 && progress.bottom <= bar.top
  })
  await screenshot(page, 'zoomed-running')
  await button(page, en.generate.cancel).click()
})

test('wide windows and tablets have two columns that use the width', async () => {
  const page = await openPage({ viewport: { width: 1920, height: 1080 } })
  const box = async (name: string) => required(await page.locator(name).boundingBox())
  expect((await box('.panel')).x).toBeLessThan(60)
  expect((await box('.stage')).x + (await box('.stage')).width).toBeGreaterThan(1860)
  await page.setViewportSize({ width: 820, height: 1180 })
  expect((await box('.stage')).y).toBeLessThan((await box('.panel')).y + 100)
  expect((await box('.stage')).x).toBeGreaterThan((await box('.panel')).x + 250)
  await generate(page)
  await screenshot(page, 'tablet')
})
