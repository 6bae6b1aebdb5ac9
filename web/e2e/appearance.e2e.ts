import axe, { type Result } from 'axe-core'
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import en from '../src/locales/en'
import zh from '../src/locales/zh-CN'
import { EASEL, STAGE_IMAGE, button, fixturePath, generate, modelLoaded, openPage, screenshot } from './browser'
import { MODEL_STATES, offerModels, type State } from './states/models'

const JOB = { id: 'f'.repeat(44), status: 'running', message: 'The image is being generated.', images: [], error: null }

/** A small JPEG in base64. */
const PREVIEW = readFileSync(fixturePath('chinese.jpg')).toString('base64')

const WIDTHS = [
  [360, 740],
  [390, 844],
  [820, 1180],
  [1366, 768],
  [1920, 1080],
] as const
const DESKTOP = { width: 1280, height: 900 }
const PHONE = { width: 390, height: 844 }

/** `make screenshots`: each state in each width, and not in the desktop's alone. */
const ALL_WIDTHS = Boolean(process.env.EASEL_SCREENSHOTS)
const TIMEOUT = { timeout: 600_000 }

/** A theme changes colours alone. These rules read no style sheets, so axe need not load them (`preload`). */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block']

/** Every state of the page. Each is entered from the one before. */
const STATES: State[] = [
  { name: 'empty', enter: (page) => page.locator('.empty li').first().waitFor() },
  { name: 'generated', enter: (page) => generate(page) },
  { name: 'result', enter: (page) => page.locator(STAGE_IMAGE).waitFor() },
  { name: 'advanced', enter: openAdvancedSettings },
  {
    name: 'second-pass',
    async enter(page) {
      await page.locator('#advanced input[type=checkbox]').check()
      await page.locator('[id="hires.steps"]').waitFor()
    },
  },
  {
    name: 'menu',
    async enter(page) {
      await page.locator('#advanced input[type=checkbox]').uncheck()
      await page.locator('.actions [aria-haspopup=menu]').click()
      await page.locator('[role=menuitem]').first().waitFor()
    },
  },
  {
    name: 'copy',
    async enter(page) {
      await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }))
      await page.locator('[role=menuitem]').nth(2).click()
      await page.locator('dialog[open] textarea').waitFor()
    },
  },
  { name: 'lightbox', enter: (page) => switchToDialog(page, '.stage .image') },
  { name: 'settings', enter: (page) => switchToDialog(page, 'nav button:last-child') },
  { name: 'help', enter: (page) => switchToDialog(page, 'nav button:nth-child(3)') },
  {
    name: 'presets',
    async enter(page) {
      await switchToDialog(page, '.panel fieldset .icon-button')
      await page.locator('#preset-name').fill('Studio light 工作室')
      await page.locator('#preset-name').press('Enter')
      await switchToDialog(page, '.panel fieldset .icon-button')
      await page.locator('dialog[open] form button').click()
      await page.locator('#preset-error').waitFor()
    },
  },
  {
    name: 'opened-image',
    async enter(page) {
      await page.keyboard.press('Escape')
      await page.locator('input[type=file]').setInputFiles(fixturePath('chinese.png'))
      await page.locator('dialog[open]').waitFor()
    },
  },
  {
    name: 'init-image',
    async enter(page) {
      await page.locator('dialog[open] .buttons button').first().click()
      await page.locator('.init-image img').waitFor()
    },
  },
  {
    name: 'inpaint',
    async enter(page) {
      await page.locator('.init-image + .part button').click()
      await page.locator('#margin-right').fill('64')
      await page.locator('#margin-right').press('Enter')
      await page.locator('dialog canvas').click()
    },
  },
  {
    name: 'masked',
    async enter(page) {
      await page.keyboard.press('Escape')
      await page.locator('.part .reset').waitFor()
    },
  },
  {
    name: 'grid',
    async enter(page) {
      await page.locator('.part .reset').click()
      await page.locator('input[name=count]').nth(3).check({ force: true })
      await generate(page)
      await page.locator('.images img').nth(3).waitFor()
    },
  },
  {
    name: 'compare',
    async enter(page) {
      await page.locator('.images button').first().click()
      // It comes once the init image is read from the store.
      const label = new RegExp(`^(${en.actions.compare}|${zh.actions.compare})$`)
      await page.getByRole('button', { name: label }).click()
      await page.locator('.compare .before').waitFor()
    },
  },
  {
    name: 'selection',
    async enter(page) {
      await page.locator('.strip .head .icon-button').first().click()
      for (const i of [0, 2]) await page.locator('.strip li button').nth(i).click()
      await page.locator('.strip .selection').waitFor()
    },
  },
  {
    name: 'field-error',
    async enter(page) {
      await page.locator('#prompt').fill('')
      await page.locator('.bar button').click()
      await page.locator('#prompt-error').waitFor()
    },
  },
  {
    name: 'failure',
    async enter(page) {
      await page.route(`${EASEL}/jobs`, (route) => route.abort())
      await page.locator('#prompt').fill('a red apple')
      await page.locator('.bar button').click()
      await page.locator('.bar [role=alert]').waitFor()
    },
  },
  {
    name: 'waiting',
    async enter(page) {
      await page.unrouteAll()
      const endpoint = { status: 'asleep', detail: '', wake_minutes: [4, 10], usd_per_hour: 0.7364 }
      const queued = { ...JOB, status: 'queued', message: 'Waiting.', parameters: { prompt: 'a red apple' } }
      await page.route(`${EASEL}/health`, (route) => route.fulfill({ json: { status: 'ok', model: 'x', endpoint } }))
      await page.route(/\/jobs\/[ef]+$/, (route) => {
        const id = route.request().url().slice(-44)
        return route.fulfill({ json: { ...queued, id } })
      })
      await page.route(/\/events$/, (route) => route.abort())
      await page.evaluate(() => {
        const jobs = ['f', 'e'].map((digit) => ({ id: digit.repeat(44), startedAt: Date.now() - 441_000 }))
        localStorage.setItem('easel.jobs', JSON.stringify(jobs))
      })
      await page.reload()
      await page.locator('.waiting').waitFor()
      // The note is above the dimmed image.
      const topmost = await page.locator('.waiting .clock').evaluate((clock) => {
        const { x, y, width, height } = clock.getBoundingClientRect()
        return document.elementFromPoint(x + width / 2, y + height / 2)?.className
      })
      expect(topmost).toContain('clock')
      await page.locator('section ol li').waitFor()
    },
  },
  {
    name: 'running',
    async enter(page) {
      await page.evaluate(() => localStorage.setItem('easel.jobs', '[]'))
      await page.reload()
      await modelLoaded(page)
      await page.unrouteAll()
      const progress = { step: 7, steps: 20, preview: PREVIEW }
      const running = { ...JOB, parameters: { width: 768, height: 512 }, progress }
      await page.route(/\/jobs(\/f+)?$/, (route) => route.fulfill({ json: running }))
      await page.route(/\/events$/, (route) => route.abort())
      await page.locator('.bar button').last().click()
      await page.locator('[role=progressbar]').waitFor()
    },
  },
  {
    name: 'offline',
    async enter(page) {
      await page.route(/\/(models|health)$/, (route) => route.abort())
      await page.reload()
      await page.locator('.bar [role=alert]').waitFor()
    },
  },
]

async function misplaced(page: Page): Promise<string[]> {
  const scroll = await horizontalScroll(page)
  return [
    ...(await clippedTexts(page)),
    ...(await outOfForm(page)),
    ...(await outOfDialog(page)),
    ...(scroll ? [`horizontal scroll: ${scroll}`] : []),
  ]
}

/** Save screenshots, and check that the page fits. */
async function look(page: Page, name: string) {
  await screenshot(page, name)
  expect(await misplaced(page), name).toEqual([])
  if (!ALL_WIDTHS) return
  for (const [width, height] of WIDTHS) {
    await page.setViewportSize({ width, height })
    await screenshot(page, `${name}-${width}`, await wholePage(page))
    expect(await misplaced(page), `${name} at ${width}`).toEqual([])
  }
  await page.setViewportSize(DESKTOP)
}

/** Enter states one after the other, and look at each in both themes. `prefix`: of the names of screenshots. */
async function lookAt(page: Page, states: State[], prefix: string) {
  for (const { name, enter } of states) {
    await enter(page)
    await look(page, `${prefix}-light-${name}`)
    expect(await accessibilityViolations(page), name).toEqual([])
    if (!ALL_WIDTHS && !prefix.startsWith('en')) continue // colours are those of every language
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.locator('html.dark').waitFor()
    await screenshot(page, `${prefix}-dark-${name}`)
    if (ALL_WIDTHS) {
      await page.setViewportSize(PHONE)
      await screenshot(page, `${prefix}-dark-${name}-${PHONE.width}`, await wholePage(page))
      await page.setViewportSize(DESKTOP)
    }
    expect(await accessibilityViolations(page, COLOUR_RULES), `${name}, dark`).toEqual([])
    await page.emulateMedia({ colorScheme: 'light' })
  }
}

/** The options of a screenshot of the whole page, unless a dialog covers it. */
async function wholePage(page: Page): Promise<{ fullPage: boolean }> {
  return { fullPage: !(await page.locator('dialog[open]').count()) }
}

async function openAdvancedSettings(page: Page): Promise<void> {
  await page.locator('.toggle').click()
  await page.locator('#output_format').waitFor()
}

/** Close the open dialog or menu, and open another dialog. */
async function switchToDialog(page: Page, opener: string): Promise<void> {
  await page.keyboard.press('Escape')
  await page.locator(opener).click()
  await page.locator('dialog[open]').waitFor()
}

/** axe's violations of the given rules, or of all. */
async function accessibilityViolations(page: Page, rules?: string[]): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source)
  // Of all other results axe describes one element, and none leaves the page.
  const options = JSON.stringify({ resultTypes: ['violations'], ...(rules && { runOnly: rules, preload: false }) })
  const violations = await page.evaluate<Result[]>(`axe.run(${options}).then(({ violations }) => violations)`)
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`),
  )
}

/** Buttons, labels and headings whose text does not fit. */
async function clippedTexts(page: Page): Promise<string[]> {
  return page
    .locator('button:visible, label:visible, legend:visible, p:visible')
    .evaluateAll((elements) =>
      elements
        .filter(
          (element) =>
            element.scrollWidth > element.clientWidth + 1 &&
            getComputedStyle(element).textOverflow !== 'ellipsis' &&
            element.clientWidth > 1,
        )
        .map(({ outerHTML }) => outerHTML.slice(0, 200)),
    )
}

/** Controls that are too small for a thumb. */
async function smallControls(page: Page): Promise<string[]> {
  const controls =
    'button:visible, label:has(input):visible, textarea:visible, .el-input__wrapper:visible, .el-select__wrapper:visible'
  return page
    .locator(controls)
    .evaluateAll((elements) =>
      elements
        .filter((element) => element.getBoundingClientRect().height < 44)
        .map(({ outerHTML }) => outerHTML.slice(0, 160)),
    )
}

/** Controls and texts that stick out of the form. */
async function outOfForm(page: Page): Promise<string[]> {
  return page.locator('.panel').evaluate((form) => {
    const { left, right } = form.getBoundingClientRect()
    return [...form.querySelectorAll('button, input, textarea, p, label')]
      .filter((element) => element.checkVisibility() && !element.matches('.visually-hidden, .el-slider *'))
      .map((element) => ({ element, box: element.getBoundingClientRect() }))
      .filter(
        ({ box }) =>
          box.left < Math.min(left, 0) - 1 || box.right > Math.max(right, innerWidth < 761 ? innerWidth : 0) + 1,
      )
      .map(({ element }) => element.outerHTML.slice(0, 160))
  })
}

/** Controls and texts that stick out of the open dialog at a side. */
async function outOfDialog(page: Page): Promise<string[]> {
  return page.locator('dialog[open] :is(button, input, textarea, p, label):visible').evaluateAll((elements) =>
    elements
      .filter((element) => !element.matches('.visually-hidden, .el-slider *'))
      .filter((element) => {
        const [inner, outer] = [element.getBoundingClientRect(), element.closest('dialog')?.getBoundingClientRect()]
        return outer && (inner.left < outer.left || inner.right > outer.right)
      })
      .map(({ outerHTML }) => outerHTML.slice(0, 160)),
  )
}

async function horizontalScroll(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
}

describe.each(['en-US', 'zh-CN'])('%s', (locale) => {
  test('every state is accessible in both themes, and fits', TIMEOUT, async () => {
    const page = await openPage({ locale, expected: /ERR_FAILED/ })
    expect(await page.locator('html').getAttribute('lang')).toBe(locale === 'zh-CN' ? 'zh-CN' : 'en')
    await lookAt(page, STATES, locale)
  })

  test('every state of models that have everything is accessible in both themes, and fits', TIMEOUT, async () => {
    const page = await openPage({ locale, expected: /ERR_FAILED/ })
    await offerModels(page)
    await lookAt(page, MODEL_STATES, locale)
  })

  test('on a phone: no horizontal scroll, and controls are large enough', async () => {
    const page = await openPage({ locale, viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true })
    await screenshot(page, `${locale}-phone-empty`)
    expect(await page.locator('.bar button').isVisible()).toBe(true)
    await generate(page)
    await page.locator('input[type=file]').setInputFiles(fixturePath('bare.png'))
    await page.locator('.init-image img').waitFor()
    await openAdvancedSettings(page)
    expect(await horizontalScroll(page)).toBe(0)
    expect(await clippedTexts(page)).toEqual([])
    expect(await smallControls(page)).toEqual([])
    await screenshot(page, `${locale}-phone`, { fullPage: true })
    await page.locator('.stage .image').click()
    await screenshot(page, `${locale}-phone-lightbox`)
    expect(await accessibilityViolations(page)).toEqual([])
  })
})

test('the theme is set before the first paint and kept over a reload', async () => {
  const page = await openPage({ colorScheme: 'dark', expected: /ERR_FAILED/ })
  const isDark = () => page.evaluate(() => document.documentElement.classList.contains('dark'))
  await page.route(/assets/, (route) => route.abort())
  await page.reload().catch(() => undefined)
  expect(await isDark()).toBe(true)
  await page.unrouteAll()
  await page.reload()
  await button(page, en.theme.auto).click()
  expect(await isDark()).toBe(false)
  await page.reload()
  await modelLoaded(page)
  expect(await isDark()).toBe(false)
})

test('the language is switched in place and kept over a reload', async () => {
  const page = await openPage()
  const suggestions = () => page.locator('.stage .empty li').allTextContents()
  const isChinese = (prompt: string) => /\p{Script=Han}/u.test(prompt)
  expect((await suggestions()).filter(isChinese)).toEqual([])
  await button(page, '中文').click()
  await button(page, zh.generate.label).waitFor()
  expect((await suggestions()).every(isChinese)).toBe(true)
  await page.locator('nav button:nth-child(3)').click()
  await page.locator('dialog .subjects summary').click()
  await page.locator('dialog').getByRole('button', { name: '大猩猩', exact: true }).waitFor()
  await screenshot(page, 'zh-CN-subjects')
  await page.reload()
  await button(page, zh.generate.label).waitFor()
  expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN')
})
