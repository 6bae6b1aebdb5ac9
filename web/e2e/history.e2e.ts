import { expect, test } from 'vitest'
import { generate, modelKnown, openPage, picture } from './browser'

const MANY = 200

/** Puts so many copies of the newest picture into the history. */
async function multiply(copies: number) {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const opening = indexedDB.open('easel', 1)
    opening.onsuccess = () => resolve(opening.result)
  })
  const change = db.transaction(['pictures', 'files'], 'readwrite')
  const [pictures, files] = [change.objectStore('pictures'), change.objectStore('files')]
  pictures.openCursor().onsuccess = ({ target }) => {
    const one = (target as IDBRequest<IDBCursorWithValue>).result.value
    files.get(one.id).onsuccess = (event) => {
      for (let i = 1; i < copies; i++) {
        pictures.put({ ...one, id: `${one.id}-${i}`, createdAt: one.createdAt - i })
        files.put((event.target as IDBRequest<Blob>).result, `${one.id}-${i}`)
      }
    }
  }
  await new Promise((resolve) => (change.oncomplete = resolve))
  db.close()
}

/** The median time of a frame in milliseconds, while the page scrolls by so many pixels in each. */
async function frameTime(pixels: number): Promise<number> {
  const times: number[] = []
  for (let y = 0, before = performance.now(); times.length < 60; y += pixels) {
    scrollTo(0, y % document.documentElement.scrollHeight)
    const now = await new Promise<number>(requestAnimationFrame)
    times.push(now - before)
    before = now
  }
  return times.sort((a, b) => a - b)[30]!
}

test('200 pictures scroll smoothly, and only those in sight are decoded', async () => {
  const page = await openPage()
  await generate(page)
  await page.evaluate(multiply, MANY)
  await page.reload()
  await modelKnown(page)
  await page.locator('.strip li').nth(MANY - 1).waitFor({ state: 'attached' })
  expect(await page.locator('.strip img').count()).toBeLessThan(MANY)

  const still = await page.evaluate(frameTime, 0)
  const scrolling = await page.evaluate(frameTime, 60)
  await picture(page, 'history-200')
  expect(scrolling).toBeLessThan(2 * still + 16)
})

test('a deleted picture can be brought back, and else stays deleted', async () => {
  const page = await openPage()
  await generate(page)
  const remove = page.getByRole('button', { name: 'Delete picture' })
  await remove.click()
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.locator('.stage .picture img').waitFor()
  await remove.click()
  await expect.poll(() => page.locator('.strip li').count()).toBe(0)
  await page.reload()
  await modelKnown(page)
  expect(await page.locator('.stage .picture').count()).toBe(0)
})
