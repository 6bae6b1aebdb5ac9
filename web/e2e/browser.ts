import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'

export const EASEL = process.env.EASEL_URL ?? 'http://127.0.0.1:7860'

/** A prompt that every model of the catalogue draws. */
export const PROMPT = 'a red apple'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const QUIET = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
const PICTURES = fileURLToPath(new URL('../out/', import.meta.url))

let browser: Browser
let complaints: string[] = []

beforeAll(async () => {
  mkdirSync(PICTURES, { recursive: true })
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...QUIET] })
})

afterAll(() => browser.close())

afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()))
  const heard = complaints
  complaints = []
  expect(heard).toEqual([])
})

interface Look extends BrowserContextOptions {
  /** Errors of the console that the test provokes. */
  expected?: RegExp
  /** Few, so that the tests are short; null: as many as the model takes. */
  steps?: number | null
  /** An address, or what follows Easel's. */
  at?: string
  /** What the browser kept from an earlier visit. */
  kept?: Record<string, string>
}

/** A page of a browser that was never here before. What its console complains of fails the test. */
export async function openPage({ expected, steps = 4, at = '', kept = {}, ...options }: Look = {}): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    locale: 'en-US',
    permissions: ['clipboard-read', 'clipboard-write'],
    reducedMotion: 'reduce',
    ...options,
  })
  context.setDefaultTimeout(60_000)
  await context.addInitScript(remember, { 'easel.draft': JSON.stringify({ num_inference_steps: steps }), ...kept })
  const page = await context.newPage()
  const complain = (text: string) => expected?.test(text) || complaints.push(text)
  page.on('console', (message) => message.type() === 'error' && complain(`${message.text()} ${message.location().url}`))
  page.on('pageerror', ({ message }) => complain(message))
  await page.goto(new URL(at, EASEL).href)
  await modelKnown(page)
  return page
}

function remember(kept: Record<string, string>) {
  for (const [name, value] of Object.entries(kept)) if (localStorage.getItem(name) === null) localStorage.setItem(name, value)
}

export async function modelKnown(page: Page): Promise<void> {
  await page.locator('input[name=size]').first().waitFor({ state: 'attached' })
}

/** Kept as artefacts, to be looked at. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${PICTURES}${name}.png` })
}

export async function generate(page: Page, prompt = PROMPT): Promise<void> {
  await page.getByRole('textbox', { name: /^(Prompt|提示词)$/ }).fill(prompt)
  await page.keyboard.press('Control+Enter')
  await finished(page)
}

export async function finished(page: Page): Promise<void> {
  await page.locator('.stage[aria-busy=true]').waitFor()
  await page.locator('.stage[aria-busy=false]').waitFor()
}
