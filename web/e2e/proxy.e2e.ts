import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  download,
  drop,
  fixturePath,
  generate,
  modelLoaded,
  openPage,
} from './browser'

/** A prompt with which the fake container takes two seconds, in ten steps with previews: no test misses the job. */
const SLOW = 'slow 2'

test('behind a proxy, below a path, the page does all that it does without one', async () => {
  const page = await openPage()
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  const preview = page.getByAltText(en.progress.preview).waitFor({ state: 'attached' })
  await generate(page, SLOW)
  await preview
  expect(await page.locator(STAGE_IMAGE).evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0)
  expect((await download(page)).bytes.subarray(1, 4).toString()).toBe('PNG')

  await page.reload()
  await modelLoaded(page)
  await page.locator('.strip img').first().click()
  await page.locator(STAGE_IMAGE).waitFor()

  await chooseMenuItem(page, en.actions.copyLink)
  await page.getByText(en.notice.copied).waitFor()
  await page.locator('#prompt').fill('')
  await page.locator('#prompt').press('Control+V')
  const link = await page.locator('#prompt').inputValue()
  expect(link.startsWith(`${EASEL}#`)).toBe(true)
  const other = await openPage({ steps: null, at: link })
  expect(await other.locator('#prompt').inputValue()).toBe(SLOW)

  await drop(other, await readFile(fixturePath('chinese.webp')), 'a.webp', 'image/webp')
  await button(other, en.drop.load).click()
  expect(await other.locator('#prompt').inputValue()).toBe('一只熊猫\n坐在沙发上')

  expect(requests.filter((url) => !url.startsWith(EASEL) && !/^(blob|data):/.test(url))).toEqual([])
  expect(requests.some((url) => url.startsWith(`${EASEL}jobs/`) && url.endsWith('/events'))).toBe(true)
})

test('below a path the service worker keeps the page, and nothing of the API or of other paths', async () => {
  // Without HTTPS, only names of this machine have a service worker.
  const address = EASEL.replace(/\/\/[^:/]+/, '//127.0.0.1')
  const page = await openPage({ at: address, serviceWorkers: 'allow', expected: /Failed to load resource/ })
  await generate(page, SLOW)
  const { scope, kept } = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready
    const caching = await Promise.all((await caches.keys()).map((name) => caches.open(name)))
    const requests = (await Promise.all(caching.map((cache) => cache.keys()))).flat()
    return { scope: registration.scope, kept: requests.map(({ url }) => url) }
  })
  expect(scope).toBe(address)
  const ours = /^(|theme\.js|favicon\.svg|manifest\.webmanifest|icons\/192\.png|assets\/[\w.-]+\.(js|css))$/
  expect(kept.filter((url) => !url.startsWith(address) || !ours.test(url.slice(address.length)))).toEqual([])
  expect(kept).toContain(address)
  await page.context().setOffline(true)
  await page.reload()
  await page.getByText(en.failure.offline).waitFor()
  await page.locator(STAGE_IMAGE).waitFor()
})
