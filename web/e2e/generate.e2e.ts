import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { EASEL, PROMPT, generate, openPage, picture } from './browser'

const stagePicture = '.stage .picture img'

/** The bytes that the page shows, hashed. */
async function shownBytes(page: Page): Promise<string> {
  const numbers = await page.locator(stagePicture).evaluate(async (image: HTMLImageElement) => [
    ...new Uint8Array(await (await fetch(image.src)).arrayBuffer()),
  ])
  return createHash('sha256').update(Uint8Array.from(numbers)).digest('hex')
}

async function newestJob() {
  const { jobs } = (await (await fetch(`${EASEL}/jobs?limit=1`)).json()) as {
    jobs: [{ seeds: number[]; images: { url: string }[] }]
  }
  return jobs[0]
}

async function serverBytes(url: string): Promise<string> {
  const answer = await fetch(new URL(url, EASEL))
  return createHash('sha256').update(new Uint8Array(await answer.arrayBuffer())).digest('hex')
}

test('a prompt becomes a picture, and the picture shown is the picture drawn', async () => {
  const page = await openPage({ steps: null })
  await page.keyboard.type(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.getByRole('progressbar').waitFor()
  await page.getByText(/^Step \d+ of \d+$/).waitFor()
  await picture(page, 'running')
  await page.locator(stagePicture).waitFor()

  const job = await newestJob()
  const drawn = await serverBytes(job.images[0]!.url)
  expect(await shownBytes(page)).toBe(drawn)
  expect(await page.locator(stagePicture).getAttribute('alt')).toBe(PROMPT)
  await page.getByText(`Seed ${job.seeds[0]}`).waitFor()

  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()])
  const file = await readFile(await saved.path())
  expect(createHash('sha256').update(file).digest('hex')).toBe(drawn)
  expect(saved.suggestedFilename()).toBe(`a-red-apple-${job.seeds[0]}.png`)
  await picture(page, 'result')
})

test('a kept seed draws the same bytes again', async () => {
  const page = await openPage()
  await generate(page)
  const first = await shownBytes(page)
  await page.getByRole('button', { name: 'Use seed' }).click()
  await generate(page)
  expect(await page.locator('.strip li').count()).toBe(2)
  expect(await shownBytes(page)).toBe(first)
})

test('several pictures have seeds that follow each other', async () => {
  const page = await openPage()
  await page.getByRole('button', { name: 'Advanced' }).click()
  await page.getByRole('radio', { name: '2', exact: true }).check({ force: true })
  await page.getByRole('spinbutton', { name: 'Seed' }).fill('41')
  await generate(page)
  await page.getByText('Seed 41').waitFor()
  await page.locator('.strip li button').nth(1).click()
  await page.getByText('Seed 42').waitFor()
  await picture(page, 'advanced')
})
