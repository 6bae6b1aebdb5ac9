import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { EASEL, generate, modelKnown, openPage, picture } from './browser'

const fixture = (name: string) => new URL(`../tests/fixtures/${name}`, import.meta.url).pathname
const CHINESE = '一只可爱的熊猫，坐在沙发上'

async function drop(page: Page, bytes: Buffer, name: string, type: string) {
  await page.evaluate(([numbers, name, type]) => {
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([Uint8Array.from(numbers)], name, { type }))
    for (const kind of ['dragover', 'drop']) window.dispatchEvent(new DragEvent(kind, { dataTransfer, cancelable: true }))
  }, [[...bytes], name, type] as const)
}

async function download(page: Page): Promise<Buffer> {
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()])
  return readFile(await saved.path())
}

/** Whether the words about the progress lie over the picture so far. */
async function hidesPicture(page: Page): Promise<boolean> {
  const [words, seen] = await Promise.all(['.progress', '.preview img'].map((one) => page.locator(one).boundingBox()))
  return words!.y < seen!.y + seen!.height && seen!.y < words!.y + words!.height
}

async function newestJob() {
  const { jobs } = (await (await fetch(`${EASEL}/jobs?limit=1`)).json()) as { jobs: [{ parameters: Record<string, unknown> }] }
  return jobs[0]
}

test('a picture that is dropped is started from', async () => {
  const page = await openPage({ steps: 8 })
  await drop(page, await readFile(fixture('bare.png')), 'a.png', 'image/png')
  await page.getByAltText('Picture to start from').waitFor()
  await page.getByRole('spinbutton', { name: 'Change' }).fill('0.5')
  await picture(page, 'start')
  await generate(page, 'a green apple')
  await page.locator('.stage .picture img').waitFor()
  const { parameters } = await newestJob()
  expect(parameters).toMatchObject({ strength: 0.5, num_inference_steps: 8, embed_parameters: true })
  expect(parameters.init_image).toMatch(/^sha256:[0-9a-f]{64}$/)
  await picture(page, 'started')

  await page.getByRole('button', { name: 'Do not start from this picture' }).click()
  await generate(page, 'a green apple')
  expect((await newestJob()).parameters).toMatchObject({ strength: null, init_image: null })
})

test('a drawing is started from, and the copied code draws the same bytes from the same start', async () => {
  const page = await openPage()
  await generate(page)
  await page.getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: 'Start from this picture' }).click()
  const [sent] = await Promise.all([page.waitForRequest((request) => request.method() === 'POST'), generate(page, "a green apple, a child's")])
  const { init_image } = sent.postDataJSON() as { init_image: string }
  const drawn = await download(page)

  const folder = await mkdtemp(join(tmpdir(), 'easel-'))
  await writeFile(join(folder, 'start.png'), init_image, 'base64')
  for (const [language, program, name] of [['curl', 'bash', 'draw.sh'], ['Python', process.env.PYTHON ?? 'python3', 'draw.py'], ['JavaScript', 'node', 'draw.mjs']] as const) {
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: `Copy as ${language}` }).click()
    await page.getByText('Copied.').waitFor()
    await writeFile(join(folder, name), await page.evaluate(() => navigator.clipboard.readText()))
    const { stdout } = await promisify(execFile)(program, [name], { cwd: folder, maxBuffer: 2 ** 26 })
    const file = stdout ? Buffer.from(JSON.parse(stdout).generated_images[0], 'base64') : await readFile(join(folder, 'picture.png'))
    expect(file.equals(drawn), language).toBe(true)
    await rm(join(folder, 'picture.png'), { force: true })
  }
})

test('a file that is no picture is said beside it at once, and nothing is sent', async () => {
  const page = await openPage()
  await drop(page, Buffer.from('no picture'), 'a.png', 'image/png')
  await page.locator('#init_image-error').getByText('This picture cannot be used').waitFor()
  await page.locator('#prompt').fill('a red apple')
  await page.keyboard.press('Control+Enter')
  await page.locator('#init_image-error').getByText('This picture cannot be used').waitFor()
  expect(await page.locator('.stage[aria-busy=true]').count()).toBe(0)
  await drop(page, await readFile(fixture('bare.png')), 'b.png', 'image/png')
  await page.locator('#init_image-error').waitFor({ state: 'detached' })
})

test('a picture that is over the limit is made smaller until it is not', async () => {
  const limit = 2000
  const page = await openPage()
  await page.route(/\/models$/, async (route) => {
    const answer = await (await route.fetch()).json()
    answer.models[0].bounds.init_image_bytes = limit
    await route.fulfill({ json: answer })
  })
  await page.reload()
  await modelKnown(page)
  await drop(page, await noise(page), 'noise.png', 'image/png')
  await page.getByAltText('Picture to start from').waitFor()
  const [sent] = await Promise.all([page.waitForRequest((request) => request.method() === 'POST'), generate(page)])
  const { init_image, width, height } = sent.postDataJSON() as { init_image: string; width: number; height: number }
  const bytes = Buffer.from(init_image, 'base64')
  expect(bytes.length).toBeGreaterThan(0)
  expect(bytes.length).toBeLessThanOrEqual(limit)
  await page.locator('.stage .picture img').waitFor()
  expect((await newestJob()).parameters).toMatchObject({ width, height })
})

/** What no JPEG makes small. */
async function noise(page: Page): Promise<Buffer> {
  const base64 = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 256, height: 256 })
    const context = canvas.getContext('2d')!
    const picture = context.createImageData(256, 256)
    picture.data.forEach((_, i) => (picture.data[i] = i % 4 === 3 ? 255 : Math.random() * 256))
    context.putImageData(picture, 0, 0)
    return canvas.toDataURL('image/png').split(',')[1]!
  })
  return Buffer.from(base64, 'base64')
}

test('while it is drawn the picture is seen, and nothing moves', async () => {
  const page = await openPage({ steps: 30 })
  const places = () => page.locator('.mat, .bar, .panel, .progress').evaluateAll((all) => all.map((one) => JSON.stringify(one.getBoundingClientRect())))
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('a red apple')
  await page.keyboard.press('Control+Enter')
  await page.getByText(/^Step \d+ of 30$/).waitFor()
  const before = await places()
  const preview = page.getByAltText('The picture so far')
  await preview.waitFor()
  const first = (await preview.getAttribute('src'))!
  expect(await places()).toEqual(before)
  expect(await hidesPicture(page)).toBe(false)
  await page.waitForFunction((first) => ![first, undefined].includes(document.querySelector<HTMLImageElement>('.preview img')?.src), first)
  const { width, height } = (await preview.boundingBox())!
  await picture(page, 'preview')
  await page.locator('.stage[aria-busy=false]').waitFor()
  const drawn = (await page.locator('.stage .picture img').boundingBox())!
  expect([Math.round(width), Math.round(height)]).toEqual([Math.round(drawn.width), Math.round(drawn.height)])
  expect(await preview.count()).toBe(0)
})

test('on a phone the picture comes into sight while it is drawn, whole, and stays when a part of the page comes late', async () => {
  const page = await openPage({ steps: 150, viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true })
  let comes = () => {}
  const slider = new Promise<void>((resolve) => (comes = resolve))
  await page.route('**/SliderField-*.js', (route) => slider.then(() => route.continue()))
  await page.locator('input[type=file]').setInputFiles(fixture('bare.png'))
  await page.locator('#prompt').fill('a red apple')
  await page.locator('.bar button').click()
  const inSight = () => {
    const [stage, bar] = ['.mat:has(.preview)', '.bar:has(button)'].map((one) => document.querySelector(one)?.getBoundingClientRect())
    const progress = document.querySelector('.progress')?.getBoundingClientRect()
    return stage && bar && progress && stage.top >= 0 && progress.bottom <= bar.top
  }
  await page.waitForFunction(inSight)
  comes()
  await page.getByRole('slider').waitFor({ state: 'attached' })
  expect(await page.evaluate(inSight)).toBe(true)
  expect(await hidesPicture(page)).toBe(false)
  await picture(page, 'preview-phone')
})

test.each(['png', 'webp', 'jpeg'])('what the server writes into a %s is read when it is dropped, Chinese too', async (format) => {
  const page = await openPage({ kept: { 'easel.draft': JSON.stringify({ num_inference_steps: 3, output_format: format, negative_prompt: '模糊' }) } })
  await generate(page, CHINESE)
  const file = await download(page)
  const { parameters } = await newestJob()

  const other = await openPage()
  await drop(other, file, `a.${format}`, `image/${format}`)
  await other.getByRole('button', { name: 'Load its parameters' }).click()
  expect(await other.locator('#prompt').inputValue()).toBe(CHINESE)
  await other.getByRole('button', { name: 'Advanced' }).click()
  expect(await other.locator('#negative_prompt').inputValue()).toBe('模糊')
  expect(await other.getByRole('spinbutton', { name: 'Seed' }).inputValue()).toBe(String(parameters.seed))
  expect(await other.getByRole('spinbutton', { name: 'Steps' }).inputValue()).toBe('3')
})
