// Signs in on the deployed page in Chromium, generates one image and signs out. Prints what it saw.
import { createRequire } from 'node:module'

const [root, url, port, name, firstPassword, password, prompt] = process.argv.slice(2)
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
const isOwn = (message) => message.location().url.startsWith(url) // not of the hosted page
page.on('console', (message) => message.type() === 'error' && isOwn(message) && errors.push(message.text()))
page.on('pageerror', ({ message }) => errors.push(message))
const fail = async (error) => {
  console.error(page.url(), await page.locator('body').innerText(), errors)
  throw error
}
const button = (label) => page.getByRole('button', { name: label, exact: true })

await page.goto(`${url}#num_inference_steps=4`)
await page.locator('#prompt').fill(prompt)
await button('Sign in').click()
await page.locator('input[name=username]').fill(name)
await page.locator('input[type=password]').fill(firstPassword)
await page.locator('[type=submit]').click()
await page.locator('input[name=np_token]').waitFor({ state: 'attached' })
for (const field of await page.locator('input[type=password]').all()) await field.fill(password)
await page.locator('[type=submit]').click()

await page.locator('input[name=size]').first().waitFor({ state: 'attached', timeout: 30_000 }).catch(fail)
const kept = await page.locator('#prompt').inputValue()
await page.getByRole('button', { name: /^Generate/ }).click()
const image = page.locator('.stage').getByAltText(prompt)
await image.waitFor()
const shown = await image.evaluate(async ({ src }) => Array.from(new Uint8Array(await (await fetch(src)).arrayBuffer())))
const session = JSON.parse(await page.evaluate(() => sessionStorage.getItem('easel.session')))
const { url: hosted, client } = await page.evaluate(() =>
  JSON.parse(document.querySelector('meta[name=easel-sign-in]').content),
)

await page.getByRole('button', { name: 'Settings' }).click()
const user = (await page.getByText('Signed in as').textContent()).replace('Signed in as ', '')
await Promise.all([page.waitForRequest(`${hosted}/oauth2/revoke`), button('Sign out').click()])
await button('Sign in').waitFor()
const storedAfter = await page.evaluate(() =>
  [sessionStorage, localStorage].flatMap((storage) => Object.entries(storage)).filter(([, text]) => /eyJ/.test(text)),
)
const refreshed = await page.evaluate(
  async ([address, fields]) => {
    const body = new URLSearchParams(fields)
    return (await fetch(`${address}/oauth2/token`, { method: 'POST', body })).status
  },
  [hosted, { grant_type: 'refresh_token', client_id: client, refresh_token: session.refresh }],
)
await browser.close()
console.log(
  JSON.stringify({
    image: Buffer.from(shown).toString('base64'),
    errors: errors.filter((text) => !/status of 400/.test(text)),
    ...{ user, kept, storedAfter, refreshed, token: session.access, signedOut: true },
  }),
)
