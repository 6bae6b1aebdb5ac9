import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { EASEL, PROMPT, generate, openPage } from './browser'

const run = promisify(execFile)
const fixture = (name: string) => new URL(`../tests/fixtures/${name}`, import.meta.url).pathname
const clipboard = (page: Page) => page.evaluate(() => navigator.clipboard.readText())

async function choose(page: Page, item: string) {
  await page.getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: item }).click()
  await page.getByText('Copied.').waitFor()
}

test('everything of a picture can be used again', async () => {
  const page = await openPage()
  await generate(page)
  await page.locator('#prompt').fill('something else')
  await page.getByRole('button', { name: 'Reuse all' }).click()
  expect(await page.locator('#prompt').inputValue()).toBe(PROMPT)
  await choose(page, 'Copy parameters')
  expect(await clipboard(page)).toMatch(/^a red apple\nSteps: 4, Sampler: .+ Seed: \d+, Size: \d+x\d+, Model: .+$/)
})

test('a link opens the page filled in, and draws nothing by itself', async () => {
  const page = await openPage()
  await generate(page)
  await choose(page, 'Copy link')
  const link = await clipboard(page)
  expect(link).not.toContain('key')
  const other = await openPage({ steps: null, at: link })
  expect(await other.locator('#prompt').inputValue()).toBe(PROMPT)
  await other.getByRole('button', { name: 'Advanced' }).click()
  expect(await other.getByRole('spinbutton', { name: 'Steps' }).inputValue()).toBe('4')
  expect(await other.locator('.strip li, .stage[aria-busy=true]').count()).toBe(0)
})

test('the copied code runs and draws the same bytes', async () => {
  const page = await openPage()
  await generate(page)
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()])
  const drawn = await readFile(await saved.path())
  const folder = await mkdtemp(join(tmpdir(), 'easel-'))

  await choose(page, 'Copy as curl')
  const { stdout } = await run('bash', ['-c', await clipboard(page)], { maxBuffer: 2 ** 26 })
  expect(Buffer.from(JSON.parse(stdout).generated_images[0], 'base64').equals(drawn)).toBe(true)

  for (const [item, program, name] of [['Copy as Python', process.env.PYTHON ?? 'python3', 'draw.py'], ['Copy as JavaScript', 'node', 'draw.mjs']] as const) {
    await choose(page, item)
    await writeFile(join(folder, name), await clipboard(page))
    await run(program, [name], { cwd: folder })
    expect((await readFile(join(folder, 'picture.png'))).equals(drawn)).toBe(true)
    await writeFile(join(folder, 'picture.png'), '')
  }
})

test('a picture that is dropped gives its parameters, Chinese ones too', async () => {
  const page = await openPage()
  const bytes = [...(await readFile(fixture('chinese.webp')))]
  await page.evaluate((numbers) => {
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([Uint8Array.from(numbers)], 'a.webp', { type: 'image/webp' }))
    for (const name of ['dragover', 'drop']) window.dispatchEvent(new DragEvent(name, { dataTransfer, cancelable: true }))
  }, bytes)
  await page.getByRole('button', { name: 'Load its parameters' }).click()
  expect(await page.locator('#prompt').inputValue()).toBe('一只熊猫\n坐在沙发上')
  await page.getByRole('button', { name: 'Advanced' }).click()
  expect(await page.getByRole('spinbutton', { name: 'Seed' }).inputValue()).toBe('42')
  expect(await page.locator('#negative_prompt').inputValue()).toBe('模糊')
})

test('the picture on the clipboard is the picture', async () => {
  const page = await openPage()
  await generate(page)
  await page.getByRole('button', { name: 'Copy picture' }).click()
  await page.getByText('Copied.').waitFor()
  const types = await page.evaluate(async () => (await navigator.clipboard.read())[0]!.types)
  expect(types).toContain('image/png')
})

test('the key is sent to the API and nowhere else', async () => {
  const page = await openPage({ kept: { 'easel.connection': JSON.stringify({ url: '', key: 'secret-key' }) } })
  const seen: [url: string, key: string | undefined][] = []
  page.on('request', (request) => seen.push([request.url(), request.headers()['x-api-key']]))
  await generate(page)
  expect(seen.filter(([url, key]) => key && !/\/(jobs|models|health)/.test(url.slice(EASEL.length)))).toEqual([])
  expect(seen.some(([, key]) => key === 'secret-key')).toBe(true)
  await choose(page, 'Copy as curl')
  expect(await clipboard(page)).not.toContain('secret-key')
  await choose(page, 'Copy link')
  expect(await clipboard(page)).not.toContain('secret-key')
})
