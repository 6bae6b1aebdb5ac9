import { expect, test } from 'vitest'
import en from '../src/locales/en'
import { STAGE_IMAGE, button, generate, modelLoaded, openPage, screenshot } from './browser'

const MANY = 200

/** Fill the history with copies of its image, up to `total` images. */
async function multiply(total: number) {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const opening = indexedDB.open('easel.history', 1)
    opening.onsuccess = () => {
      resolve(opening.result)
    }
  })
  const transaction = db.transaction(['images', 'files'], 'readwrite')
  const [images, files] = [transaction.objectStore('images'), transaction.objectStore('files')]
  const cursor = images.openCursor()
  cursor.onsuccess = () => {
    const image = cursor.result?.value
    const file = files.get(image.id)
    file.onsuccess = () => {
      for (let i = 1; i < total; i++) {
        const id = `${String(image.id)}-${i}`
        images.put({ ...image, id, createdAt: image.createdAt - i })
        files.put(file.result, id)
      }
    }
  }
  await new Promise((resolve) => {
    transaction.oncomplete = resolve
  })
  db.close()
}

/** The median milliseconds of a frame while the page scrolls by `pixels` a frame. */
async function frameTime(pixels: number): Promise<number> {
  const times: number[] = []
  for (let y = 0, before = performance.now(); times.length < 60; y += pixels) {
    scrollTo(0, y % document.documentElement.scrollHeight)
    const now = await new Promise<number>(requestAnimationFrame)
    times.push(now - before)
    before = now
  }
  return times.sort((a, b) => a - b)[30] ?? Infinity
}

test('200 images scroll smoothly, and only visible thumbnails are loaded', async () => {
  const page = await openPage()
  await generate(page)
  await page.evaluate(multiply, MANY)
  await page.reload()
  await modelLoaded(page)
  await page
    .locator('.strip li')
    .nth(MANY - 1)
    .waitFor({ state: 'attached' })
  expect(await page.locator('.strip img').count()).toBeLessThan(MANY)

  const still = await page.evaluate(frameTime, 0)
  const scrolling = await page.evaluate(frameTime, 60)
  await screenshot(page, 'history-200')
  expect(scrolling).toBeLessThan(2 * still + 16)
})

test('deleting an image can be undone, and is permanent without undo', async () => {
  const page = await openPage()
  await generate(page)
  const remove = button(page, en.actions.delete)
  await remove.click()
  await button(page, en.notice.undo).click()
  await page.locator(STAGE_IMAGE).waitFor()
  await remove.click()
  await expect.poll(() => page.locator('.strip li').count()).toBe(0)
  await page.reload()
  await modelLoaded(page)
  expect(await page.locator(STAGE_IMAGE).count()).toBe(0)
})
