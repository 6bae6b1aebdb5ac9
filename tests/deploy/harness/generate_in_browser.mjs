// Generates one image through the deployed page in Chromium. Prints the image and the errors of the console.
import { createRequire } from 'node:module'

const [root, url, port, key, prompt] = process.argv.slice(2)
const { chromium } = createRequire(`${root}/web/package.json`)('playwright-core')
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Playwright's ignoreHTTPSErrors leaves out the script of the service worker.
  args: [
    ...['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--ignore-certificate-errors'],
    `--host-resolver-rules=MAP * 127.0.0.1:${port}`,
  ],
})
const page = await browser.newPage({ locale: 'en-US', reducedMotion: 'reduce' })
page.setDefaultTimeout(60_000)
const errors = []
page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
page.on('pageerror', ({ message }) => errors.push(message))
await page.goto(`${url}#prompt=${encodeURIComponent(prompt)}&num_inference_steps=4`)
await page.getByLabel('API key').fill(key)
await page.getByRole('button', { name: 'Save', exact: true }).click()
await page.locator('input[name=size]').first().waitFor({ state: 'attached' })
await page.getByRole('button', { name: /^Generate/ }).click()
const image = page.locator('.stage').getByAltText(prompt)
await image.waitFor()
const shown = await image.evaluate(async ({ src }) => Array.from(new Uint8Array(await (await fetch(src)).arrayBuffer())))
await browser.close()
console.log(JSON.stringify({ image: Buffer.from(shown).toString('base64'), errors }))
