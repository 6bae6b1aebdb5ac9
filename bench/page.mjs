// Loads the page as a newcomer does, and prints what it took as JSON. Called by page.py.
import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'

const [url, loads] = process.argv.slice(2)
const require = createRequire(new URL('../web/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const axe = require('axe-core')

function watch() {
  window.seen = { usable: 0, largest: 0, shift: 0, blocked: 0 }
  const observe = (type, note) =>
    new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type, buffered: true })
  observe('largest-contentful-paint', ({ startTime }) => (window.seen.largest = startTime))
  observe('layout-shift', ({ value }) => (window.seen.shift += value))
  observe('longtask', ({ duration }) => (window.seen.blocked += Math.max(0, duration - 50)))
  new MutationObserver((_, observer) => {
    if (!document.querySelector('#prompt') || !document.querySelector('input[name=size]')) return
    window.seen.usable = performance.now()
    observer.disconnect()
  }).observe(document, { childList: true, subtree: true })
}

async function load(browser, colorScheme) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme })
  const page = await context.newPage()
  await page.addInitScript(watch)
  const bodies = []
  page.on('response', (response) => bodies.push(response.body().catch(() => Buffer.alloc(0))))
  await page.goto(url, { waitUntil: 'networkidle' })
  await page.waitForFunction(() => window.seen.usable)
  const files = await Promise.all(bodies)
  await page.evaluate(axe.source)
  const { violations, passes } = await page.evaluate(() => window.axe.run())
  const seen = await page.evaluate(() => window.seen)
  await context.close()
  const gzipped = files.reduce((sum, body) => sum + gzipSync(body).length, 0)
  return { ...seen, requests: files.length, gzipped, violations: violations.length, passes: passes.length }
}

const flags = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update']
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags })
const runs = []
for (let i = 0; i < Number(loads); i++) runs.push(await load(browser, i % 2 ? 'dark' : 'light'))
await browser.close()
console.log(JSON.stringify(runs))
