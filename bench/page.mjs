// Loads the page as a new user does and prints the measurements as JSON. Called by page.py.
import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'

const [url, loads, images] = process.argv.slice(2)
const require = createRequire(new URL('../web/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const axe = require('axe-core')

function observePage() {
  window.measured = { usable: 0, largest: 0, shift: 0, blocked: 0 }
  const observe = (type, handle) =>
    new PerformanceObserver((list) => list.getEntries().forEach(handle)).observe({ type, buffered: true })
  observe('largest-contentful-paint', ({ startTime }) => (window.measured.largest = startTime))
  observe('layout-shift', ({ value }) => (window.measured.shift += value))
  observe('longtask', ({ duration }) => (window.measured.blocked += Math.max(0, duration - 50)))
  new MutationObserver((_, observer) => {
    if (!document.querySelector('#prompt') || !document.querySelector('input[name=size]')) return
    window.measured.usable = performance.now()
    observer.disconnect()
  }).observe(document, { childList: true, subtree: true })
}

async function load(browser, colorScheme, locale) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme, locale })
  const page = await context.newPage()
  await page.addInitScript(observePage)
  const bodies = []
  page.on('response', (response) => bodies.push(response.body().catch(() => Buffer.alloc(0))))
  await page.goto(url, { waitUntil: 'networkidle' })
  await page.waitForFunction(() => window.measured.usable)
  const files = await Promise.all(bodies)
  await page.evaluate(axe.source)
  const { violations, passes } = await page.evaluate(() => window.axe.run())
  const measured = await page.evaluate(() => window.measured)
  await context.close()
  const gzipped = files.reduce((sum, body) => sum + gzipSync(body).length, 0)
  return { ...measured, requests: files.length, gzipped, violations: violations.length, passes: passes.length }
}

/** Fill the history with `count` images, each with other colours. Runs in the page. */
async function fillHistory(count) {
  const db = await new Promise((resolve) => (indexedDB.open('easel.history', 1).onsuccess = ({ target }) => resolve(target.result)))
  const parameters = { prompt: 'a red apple', negative_prompt: '', width: 512, height: 512, num_inference_steps: 20, guidance_scale: 4, seed: 7, scheduler: 'ddim', output_format: 'png' }
  for (let i = 0; i < count; i++) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 320 })
    const context = canvas.getContext('2d')
    for (let band = 0; band < 320; band++) {
      context.fillStyle = `hsl(${i * 7 + band} 70% 50%)`
      context.fillRect(band, 0, 1, 320)
    }
    const thumbnail = await new Promise((resolve) => canvas.toBlob(resolve, 'image/webp', 0.85))
    const transaction = db.transaction(['images', 'files'], 'readwrite')
    transaction.objectStore('images').put({ id: `${i}`, createdAt: i, model: 'bench', mediaType: 'image/webp', parameters, seconds: 1, warnings: [], thumbnail })
    transaction.objectStore('files').put(thumbnail, `${i}`)
    await new Promise((resolve) => (transaction.oncomplete = resolve))
  }
  db.close()
}

/** Return the milliseconds of each frame while the page scrolls down and up again, `pixels` per frame. */
async function scroll(pixels) {
  const times = []
  const end = document.documentElement.scrollHeight - innerHeight
  for (let distance = 0, before = await new Promise(requestAnimationFrame); distance < 2 * end; distance += pixels) {
    scrollTo(0, distance < end ? distance : 2 * end - distance)
    const now = await new Promise(requestAnimationFrame)
    times.push(now - before)
    before = now
  }
  return times
}

async function scrollThrough(browser, images) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  const page = await context.newPage()
  await page.goto(url, { waitUntil: 'networkidle' })
  await page.evaluate(fillHistory, images)
  await page.reload()
  await page.locator('.strip li').nth(images - 1).waitFor({ state: 'attached' })
  const frames = await page.evaluate(scroll, 25)
  await context.close()
  return frames
}

const flags = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update']
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags })
const runs = []
for (let i = 0; i < Number(loads); i++) runs.push(await load(browser, i % 2 ? 'dark' : 'light', i % 4 < 2 ? 'en-US' : 'zh-CN'))
const frames = await scrollThrough(browser, Number(images))
await browser.close()
console.log(JSON.stringify({ runs, frames }))
