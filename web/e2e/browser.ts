import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import en from '../src/locales/en'

export const EASEL = process.env.EASEL_URL ?? 'http://127.0.0.1:7860'

/** A prompt that every model of the catalogue knows. */
export const PROMPT = 'a red apple'

/** The image on the stage. */
export const STAGE_IMAGE = '.stage .image img'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  ...(process.env.CHROMIUM_ARGUMENTS?.split('\n') ?? []),
]
const SCREENSHOTS = fileURLToPath(new URL('../out/', import.meta.url))

let browser: Browser | undefined
let consoleErrors: string[] = []

/** Open the browser, which all files of tests share. It ends with the process. */
async function openBrowser(): Promise<Browser> {
  mkdirSync(SCREENSHOTS, { recursive: true })
  // In the C locale Chromium does not find a file whose path has an accent.
  const env = { ...process.env, LC_ALL: 'C.UTF-8' }
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS, env })
  return browser
}

/** Close the pages, and return the console errors that no test expected. */
export async function closePages(): Promise<string[]> {
  await Promise.all((browser?.contexts() ?? []).map((context) => context.close()))
  const errors = consoleErrors
  consoleErrors = []
  return errors
}

interface PageOptions extends BrowserContextOptions {
  /** Console errors that the test causes. */
  expected?: RegExp
  /** Inference steps. Few, so that the tests are short; null means the model's default. */
  steps?: number | null
  /** The URL, absolute or relative to Easel's. */
  at?: string
  /** Values in the browser's local storage. */
  storage?: Record<string, string>
}

/** Open the page in a new browser context. An unexpected console error fails the test. */
export async function openPage(options: PageOptions = {}): Promise<Page> {
  const { expected, steps = 2, at = '', storage = {}, ...contextOptions } = options
  const shared = await openBrowser()
  const context = await shared.newContext({
    viewport: { width: 1280, height: 900 },
    locale: 'en-US',
    permissions: ['clipboard-read', 'clipboard-write'],
    reducedMotion: 'reduce',
    // Routes of tests do not see what a service worker requests.
    serviceWorkers: 'block',
    ...contextOptions,
  })
  context.setDefaultTimeout(60_000)
  await context.addInitScript(fillStorage, {
    'easel.draft': JSON.stringify({ num_inference_steps: steps }),
    ...storage,
  })
  const page = await context.newPage()
  const record = (text: string) => {
    if (!expected?.test(text)) consoleErrors.push(text)
  }
  page.on('console', (message) => {
    if (message.type() === 'error') record(`${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', ({ message }) => record(message))
  await page.goto(new URL(at, EASEL).href)
  await modelLoaded(page)
  return page
}

function fillStorage(values: Record<string, string>) {
  for (const [name, value] of Object.entries(values)) {
    if (localStorage.getItem(name) === null) localStorage.setItem(name, value)
  }
}

export async function modelLoaded(page: Page): Promise<void> {
  await page.locator('input[name=size]').first().waitFor({ state: 'attached' })
}

/** Save a screenshot in out/, for people to look at, if EASEL_SCREENSHOTS is set (`make screenshots`). */
export async function screenshot(page: Page, name: string, options: { fullPage?: boolean } = {}): Promise<void> {
  if (process.env.EASEL_SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, ...options })
}

/** Generate an image and wait for the end of the job. */
export async function generate(page: Page, prompt = PROMPT): Promise<void> {
  await startGeneration(page, prompt)
  await page.locator('.stage[aria-busy=true]').waitFor()
  await idle(page)
}

export async function startGeneration(page: Page, prompt = PROMPT): Promise<void> {
  const field = page.locator('#prompt')
  await field.fill(prompt)
  await field.press('Control+Enter')
}

export async function idle(page: Page): Promise<void> {
  await page.locator('.stage[aria-busy=false]').waitFor()
}

export const button = (page: Page, name: string) => page.getByRole('button', { name })

/** Open the advanced settings by a key: a click may miss while the page still moves what is above them. */
export const openAdvanced = (page: Page) => button(page, en.advanced.title).press('Enter')

/** Choose an item of the image's menu. */
export async function chooseMenuItem(page: Page, name: string): Promise<void> {
  await button(page, en.actions.more).click()
  await page.getByRole('menuitem', { name }).click()
}

/** Copy by an item of the image's menu, and return the clipboard's text. */
export async function copyByMenu(page: Page, name: string): Promise<string> {
  await chooseMenuItem(page, name)
  await page.getByText(en.notice.copied).waitFor()
  return page.evaluate(() => navigator.clipboard.readText())
}

/** Copy as code in the given language, and return the code. */
export const copyCode = (page: Page, language: string) =>
  copyByMenu(page, en.actions.copyCode.replace('{language}', language))

/** Download the image on the stage, and return its name and bytes. */
export async function download(page: Page): Promise<{ name: string; bytes: Buffer }> {
  const [file] = await Promise.all([page.waitForEvent('download'), button(page, en.actions.download).click()])
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) }
}

/** Drop a file on the page. */
export async function drop(page: Page, bytes: Buffer, name: string, type: string): Promise<void> {
  await page.evaluate(
    (file) => {
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File([Uint8Array.from(file.bytes)], file.name, { type: file.type }))
      for (const kind of ['dragover', 'drop']) {
        window.dispatchEvent(new DragEvent(kind, { dataTransfer, cancelable: true }))
      }
    },
    { bytes: [...bytes], name, type },
  )
}

export const fixturePath = (name: string) => fileURLToPath(new URL(`../tests/fixtures/${name}`, import.meta.url))

interface ApiJob {
  status: string
  seeds: number[]
  images: { url: string }[]
  parameters: Record<string, unknown>
}

/** Return the newest job of the API. */
export async function newestJob(): Promise<ApiJob> {
  const response = await fetch(`${EASEL}/jobs?limit=1`)
  const { jobs }: { jobs: ApiJob[] } = await response.json()
  return required(jobs[0])
}

/** Return the value, or throw if there is none. */
export function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('A value is missing')
  return value
}
