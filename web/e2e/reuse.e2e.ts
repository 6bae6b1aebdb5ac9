import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import en from '../src/locales/en'
import {
  EASEL,
  PROMPT,
  button,
  chooseMenuItem,
  copyByMenu,
  copyCode,
  download,
  drop,
  fixturePath,
  generate,
  newestJob,
  openAdvanced,
  openPage,
  screenshot,
} from './browser'

const PYTHON = process.env.PYTHON ?? 'python3'

const PROGRAMS = {
  curl: { command: 'bash', file: 'generate.sh' },
  Python: { command: PYTHON, file: 'generate.py' },
  JavaScript: { command: 'node', file: 'generate.mjs' },
  CLI: { command: 'bash', file: 'easel.sh' },
}

/** Run the code that the page copies, in all languages, and return the generated files by language. */
async function runCopiedCode(page: Page, folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const [language, { command, file }] of Object.entries(PROGRAMS)) {
    await writeFile(join(folder, file), await copyCode(page, language))
    const env = { ...process.env, PATH: `${dirname(PYTHON)}:${process.env.PATH ?? ''}` }
    await promisify(execFile)(command, [file], { cwd: folder, env })
    const [written] = language === 'CLI' ? await readdir(join(folder, 'out')) : []
    const result = join(folder, written === undefined ? 'image.png' : join('out', written))
    files.set(language, await readFile(result))
    await rm(result)
  }
  return files
}

const createFolder = () => mkdtemp(join(tmpdir(), 'easel-'))

test('"Reuse all" and "Copy parameters" give the parameters of the image', async () => {
  const page = await openPage()
  await generate(page)
  await page.locator('#prompt').fill('something else')
  await button(page, en.actions.reuse).click()
  expect(await page.locator('#prompt').inputValue()).toBe(PROMPT)
  const infotext = await copyByMenu(page, en.actions.copyParameters)
  expect(infotext).toMatch(/^a red apple\nSteps: 2, Sampler: .+ Seed: \d+, Size: \d+x\d+, Model: .+$/)
})

test('a share link fills in the form and generates nothing', async () => {
  const page = await openPage()
  await generate(page)
  const link = await copyByMenu(page, en.actions.copyLink)
  expect(link).not.toContain('key')
  const other = await openPage({ steps: null, at: link })
  expect(await other.locator('#prompt').inputValue()).toBe(PROMPT)
  await openAdvanced(other)
  const steps = other.getByRole('spinbutton', { name: en.fields.num_inference_steps })
  expect(await steps.inputValue()).toBe('2')
  expect(await other.locator('.strip li, .stage[aria-busy=true]').count()).toBe(0)
})

test('the copied code generates the same bytes', async () => {
  const page = await openPage()
  await generate(page)
  const { bytes } = await download(page)
  const folder = await createFolder()
  for (const [language, file] of await runCopiedCode(page, folder)) expect(file.equals(bytes), language).toBe(true)
})

test('with an init image and its mask, the copied code generates the same bytes from the files that the page saves', async () => {
  const page = await openPage()
  await generate(page)
  await chooseMenuItem(page, en.inpaint.open)
  const editor = page.getByRole('dialog', { name: en.inpaint.open })
  await editor.locator('canvas').click()
  await editor.getByRole('spinbutton', { name: en.inpaint.left }).fill('8')
  await button(page, en.inpaint.done).click()
  await generate(page, "a green apple, a child's")
  const { bytes } = await download(page)
  const folder = await createFolder()
  for (const name of [en.actions.downloadInit, en.actions.downloadMask]) {
    const [file] = await Promise.all([page.waitForEvent('download'), chooseMenuItem(page, name)])
    await file.saveAs(join(folder, file.suggestedFilename()))
  }
  for (const [language, file] of await runCopiedCode(page, folder)) expect(file.equals(bytes), language).toBe(true)

  // A link holds no images: the page says so where it is copied, and where it is opened.
  await chooseMenuItem(page, en.actions.copyLink)
  await page.getByText(en.notice.copiedWithoutImage).waitFor()
  const link = await page.evaluate(() => navigator.clipboard.readText())
  const other = await openPage({ at: link })
  const missing = [en.fields.init_image, en.fields.mask_image, en.fields.outpaint].join(', ')
  await other.getByText(en.notice.loadedExcept.replace('{names}', missing)).waitFor()
})

test('a dropped image with parameters offers to load them', async () => {
  const page = await openPage()
  await drop(page, await readFile(fixturePath('chinese.webp')), 'a.webp', 'image/webp')
  await button(page, en.drop.load).click()
  expect(await page.locator('#prompt').inputValue()).toBe('一只熊猫\n坐在沙发上')
  await openAdvanced(page)
  expect(await page.getByRole('spinbutton', { name: en.fields.seed }).inputValue()).toBe('42')
  expect(await page.locator('#negative_prompt').inputValue()).toBe('模糊')
})

test('"Copy image" puts a PNG on the clipboard', async () => {
  const page = await openPage()
  await generate(page)
  await button(page, en.actions.copyImage).click()
  await page.getByText(en.notice.copied).waitFor()
  const types = await page.evaluate(async () => (await navigator.clipboard.read()).flatMap((item) => item.types))
  expect(types).toContain('image/png')
})

test('the API key is sent to the API only, and not copied', async () => {
  const page = await openPage({ storage: { 'easel.connection': JSON.stringify({ url: '', key: 'secret-key' }) } })
  const requests: { url: string; key: string | undefined }[] = []
  page.on('request', (request) => requests.push({ url: request.url(), key: request.headers()['x-api-key'] }))
  await generate(page)
  const withKey = requests.filter(({ key }) => key === 'secret-key')
  expect(withKey).not.toEqual([])
  expect(withKey.filter(({ url }) => !/\/(jobs|models|health)/.test(url.slice(EASEL.length)))).toEqual([])
  expect(await copyCode(page, 'curl')).not.toContain('secret-key')
  expect(await copyByMenu(page, en.actions.copyLink)).not.toContain('secret-key')
})

test('a second pass and clip_skip are sent, kept in the file, and come back from it', async () => {
  const page = await openPage()
  await openAdvanced(page)
  const pass = page.getByRole('checkbox', { name: en.hires.use })
  const field = (name: string) => page.getByRole('spinbutton', { name, exact: true })
  await pass.check()
  await field(en.hires.scale).fill('1.5')
  await field(en.hires.scale).press('Enter')
  await page.getByText('192 × 192').waitFor()
  await field(en.fields.clip_skip).fill('2')
  await field(en.fields.clip_skip).press('Enter')
  await generate(page)
  const parameters = { clip_skip: 2, hires: { scale: 1.5, strength: 0.5, steps: 2 } }
  expect((await newestJob()).parameters).toMatchObject(parameters)
  await page.locator('.caption').getByText('192 × 192').waitFor()
  await screenshot(page, 'second-pass')
  const { bytes } = await download(page)

  await page.getByRole('button', { name: en.advanced.reset, exact: true }).click()
  expect(await pass.isChecked()).toBe(false)
  await page.locator('input[type=file]').setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: bytes })
  await button(page, en.drop.load).click()
  expect(await pass.isChecked()).toBe(true)
  expect(await field(en.fields.clip_skip).inputValue()).toBe('2')
  await chooseMenuItem(page, en.actions.useAsInitImage)
  await page.getByText(en.hires.withoutInit).waitFor()
  await button(page, en.initImage.clear).click()
  expect(await pass.isChecked()).toBe(true)
})
