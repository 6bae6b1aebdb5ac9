import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  STAGE_IMAGE,
  button,
  chooseMenuItem,
  drop,
  fixturePath,
  generate,
  modelLoaded,
  openPage,
  required,
  screenshot,
} from './browser'

/** Let the page's model look at three images. Return the requests. */
async function editingModel(page: Page): Promise<Record<string, unknown>[]> {
  const sent: Record<string, unknown>[] = []
  await page.route(/\/models$/, async (route) => {
    const body = await (await route.fetch()).json()
    const [model] = body.models
    const all: string[] = model.features
    const features = all.filter((name) => !['image_to_image', 'inpaint'].includes(name))
    await route.fulfill({ json: { models: [{ ...model, features, edits: 3 }] } })
  })
  const withImages = async (response: { json: () => Promise<Record<string, unknown>> }) => {
    const job: Record<string, unknown> = await response.json()
    const images = required(sent.at(-1)).images
    return { ...job, parameters: { ...Object(job.parameters), images } }
  }
  await page.route(/\/jobs$/, async (route) => {
    const { images, ...body } = route.request().postDataJSON()
    sent.push({ images, ...body })
    const response = await route.fetch({ postData: JSON.stringify(body) })
    await route.fulfill({ response, json: await withImages(response) })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: await withImages(response) })
  })
  await page.reload()
  await modelLoaded(page)
  return sent
}

/** A PNG of one colour. */
async function picture(page: Page, name: string, size: { width: number; height: number }, colour: string) {
  const url = await page.evaluate(
    ([sides, fill]) => {
      const canvas = Object.assign(document.createElement('canvas'), sides)
      const context = canvas.getContext('2d')
      if (context) context.fillStyle = fill
      context?.fillRect(0, 0, sides.width, sides.height)
      return canvas.toDataURL('image/png')
    },
    [size, colour] as const,
  )
  return { name, mimeType: 'image/png', buffer: Buffer.from(required(url.split(',')[1]), 'base64') }
}

test('pictures for the prompt are added, ordered, removed by keyboard, sent, and come back', async () => {
  const page = await openPage({ expected: /ERR_FAILED/ })
  const sent = await editingModel(page)
  const panel = page.getByRole('group', { name: en.fields.images })
  const named = (text: string, number: number) => button(page, text.replace('{number}', String(number)))
  const input = panel.locator('input[type=file]')
  const wide = await picture(page, 'wide.png', { width: 192, height: 96 }, 'red')
  const tall = await picture(page, 'tall.png', { width: 64, height: 128 }, 'blue')
  await input.setInputFiles([wide, tall])
  await panel.locator('li').nth(1).waitFor()
  // The size follows the first picture.
  await page.getByText('176 × 80').waitFor()
  await named(en.edits.earlier, 2).focus()
  await page.keyboard.press('Enter')
  await page.getByText('64 × 128').waitFor()
  expect(await named(en.edits.earlier, 1).evaluate((element) => element === document.activeElement)).toBe(true)

  // A picture that is too long, and more than the model looks at.
  const long = await picture(page, 'long.png', { width: 64, height: 600 }, 'green')
  await input.setInputFiles([long])
  await page.getByText(en.edits.proportions.split('{')[0] ?? '').waitFor()
  await page.evaluate(() => document.querySelector<HTMLElement>('.notice')?.hidePopover())
  await input.setInputFiles([wide, wide])
  await page.getByText(en.edits.full.replace('{count}', '3')).waitFor()
  expect(await button(page, en.edits.add).count()).toBe(0)
  await named(en.edits.remove, 3).focus()
  await page.keyboard.press('Delete')
  await expect.poll(() => panel.locator('li').count()).toBe(2)
  expect(await named(en.edits.remove, 2).evaluate((element) => element === document.activeElement)).toBe(true)

  // They are kept over a reload, and sent in their order.
  await page.reload()
  await panel.locator('li').nth(1).waitFor()
  await screenshot(page, 'edits')
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
  const files = [tall, wide].map(({ buffer }) => buffer.toString('base64'))
  expect(sent.at(-1)).toMatchObject({ images: files, width: 64, height: 128 })

  // From the history, and all again with "Reuse all".
  await chooseMenuItem(page, en.edits.use)
  await panel.locator('li').nth(2).waitFor()
  await named(en.edits.remove, 1).click()
  await named(en.edits.remove, 1).click()
  await named(en.edits.remove, 1).click()
  await expect.poll(() => panel.locator('li').count()).toBe(0)
  await button(page, en.actions.reuse).click()
  await panel.locator('li').nth(1).waitFor()
  await generate(page)
  expect(sent.at(-1)).toMatchObject({ images: files })
})

test('dropped and opened pictures join the others, on a phone', async () => {
  const page = await openPage({ expected: /ERR_FAILED/, viewport: { width: 390, height: 844 } })
  await editingModel(page)
  const items = page.getByRole('group', { name: en.fields.images }).locator('li')
  const { buffer } = await picture(page, 'a.png', { width: 128, height: 128 }, 'red')
  await drop(page, buffer, 'a.png', 'image/png')
  await items.first().waitFor()
  // A picture with parameters may be either.
  await page.locator('.foot input[type=file]').setInputFiles(fixturePath('stealth.png'))
  await page.locator('dialog').getByRole('button', { name: en.edits.use }).click()
  await items.nth(1).waitFor()
  await screenshot(page, 'edits-phone', { fullPage: true })
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
})
