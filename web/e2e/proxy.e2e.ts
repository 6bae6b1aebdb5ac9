import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  PROMPT,
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

test('behind a proxy, below a path, the page does all that it does without one', async () => {
  const page = await openPage({ steps: 80 })
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  const preview = page.getByAltText(en.progress.preview).waitFor({ state: 'attached' })
  await generate(page)
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
  expect(await other.locator('#prompt').inputValue()).toBe(PROMPT)

  await drop(other, await readFile(fixturePath('chinese.webp')), 'a.webp', 'image/webp')
  await button(other, en.drop.load).click()
  expect(await other.locator('#prompt').inputValue()).toBe('一只熊猫\n坐在沙发上')

  expect(requests.filter((url) => !url.startsWith(EASEL) && !/^(blob|data):/.test(url))).toEqual([])
  expect(requests.some((url) => url.startsWith(`${EASEL}jobs/`) && url.endsWith('/events'))).toBe(true)
})
