import axe from 'axe-core'
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { EASEL, generate, modelKnown, openPage, picture } from './browser'

const JOB = { id: 'f'.repeat(44), status: 'running', message: 'The picture is being drawn.', images: [], error: null }

const fixture = (name: string) => new URL(`../tests/fixtures/${name}`, import.meta.url).pathname

/** A small JPEG. */
const PREVIEW = readFileSync(fixture('chinese.jpg')).toString('base64')

/** Every state of the page, each from the one before. Escape leaves dialogs and menus. */
const STATES: [name: string, enter: (page: Page) => Promise<unknown>][] = [
  ['result', (page) => page.locator('.stage .picture img').waitFor()],
  ['advanced', async (page) => {
    await page.locator('.toggle').click()
    await page.locator('#output_format').waitFor()
  }],
  ['menu', async (page) => {
    await page.locator('.actions [aria-haspopup=menu]').click()
    await page.locator('[role=menuitem]').first().waitFor()
  }],
  ['lightbox', (page) => leaveAnd(page, '.stage .picture')],
  ['settings', (page) => leaveAnd(page, 'nav button:last-child')],
  ['help', (page) => leaveAnd(page, 'nav button:nth-child(3)')],
  ['dropped', async (page) => {
    await page.keyboard.press('Escape')
    await page.locator('input[type=file]').setInputFiles(fixture('chinese.png'))
    await page.locator('dialog[open]').waitFor()
  }],
  ['start', async (page) => {
    await page.locator('dialog[open] .ways button').first().click()
    await page.locator('.start img').waitFor()
  }],
  ['error', async (page) => {
    await page.locator('#prompt').fill('')
    await page.locator('.bar button').click()
    await page.locator('#prompt-error').waitFor()
  }],
  ['failure', async (page) => {
    await page.route(`${EASEL}/jobs`, (route) => route.abort())
    await page.locator('#prompt').fill('a red apple')
    await page.locator('.bar button').click()
    await page.locator('.bar [role=alert]').waitFor()
  }],
  ['running', async (page) => {
    await page.unrouteAll()
    const running = { ...JOB, parameters: { width: 768, height: 512 }, progress: { step: 7, steps: 20, preview: PREVIEW } }
    await page.route(/\/jobs(\/f+)?$/, (route) => route.fulfill({ json: running }))
    await page.route(/\/events$/, (route) => route.abort())
    await page.locator('.bar button').last().click()
    await page.locator('[role=progressbar]').waitFor()
  }],
]

async function leaveAnd(page: Page, button: string) {
  await page.keyboard.press('Escape')
  await page.locator(button).click()
  await page.locator('dialog[open]').waitFor()
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run())
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))
}

/** Words that do not fit into their button, label or heading. */
async function clipped(page: Page): Promise<string[]> {
  return page.locator('button:visible, label:visible, legend:visible, p:visible').evaluateAll((all) =>
    all.filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).textOverflow !== 'ellipsis' && one.clientWidth > 1).map(({ outerHTML }) => outerHTML.slice(0, 200)),
  )
}

async function sidewaysScroll(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
}

describe.each(['en-US', 'zh-CN'])('%s', (locale) => {
  test.each(['light', 'dark'] as const)('%s: nothing to complain of in any state', async (colorScheme) => {
    const page = await openPage({ locale, colorScheme, expected: /ERR_FAILED/ })
    expect(await page.locator('html').getAttribute('lang')).toBe(locale.slice(0, 2) === 'zh' ? 'zh-CN' : 'en')
    expect(await violations(page)).toEqual([])
    await picture(page, `${locale}-${colorScheme}-empty`)
    await generate(page)
    for (const [name, enter] of STATES) {
      await enter(page)
      await picture(page, `${locale}-${colorScheme}-${name}`)
      expect(await violations(page), name).toEqual([])
      expect(await clipped(page), name).toEqual([])
      expect(await sidewaysScroll(page), name).toBe(0)
    }
  })

  test('on a phone: one column, nothing sideways, everything large enough for a thumb', async () => {
    const page = await openPage({ locale, viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true })
    await picture(page, `${locale}-phone-empty`)
    expect(await page.locator('.bar button').isVisible()).toBe(true)
    await generate(page)
    await page.locator('input[type=file]').setInputFiles(fixture('bare.png'))
    await page.locator('.start img').waitFor()
    await page.locator('.toggle').click()
    await page.locator('#output_format').waitFor()
    expect(await sidewaysScroll(page)).toBe(0)
    expect(await clipped(page)).toEqual([])
    const small = await page.locator('button:visible, label:has(input):visible, textarea:visible, .el-input__wrapper:visible, .el-select__wrapper:visible').evaluateAll((all) =>
      all.filter((one) => one.getBoundingClientRect().height < 44).map(({ outerHTML }) => outerHTML.slice(0, 160)),
    )
    expect(small).toEqual([])
    await page.screenshot({ path: new URL(`../out/${locale}-phone.png`, import.meta.url).pathname, fullPage: true })
    await page.locator('.stage .picture').click()
    await picture(page, `${locale}-phone-lightbox`)
    expect(await violations(page)).toEqual([])
  })
})

test('the theme is there before the first paint, and the choice is kept', async () => {
  const page = await openPage({ colorScheme: 'dark', expected: /ERR_FAILED/ })
  const isDark = () => page.evaluate(() => document.documentElement.classList.contains('dark'))
  await page.route(/assets/, (route) => route.abort())
  await page.reload().catch(() => {})
  expect(await isDark()).toBe(true)
  await page.unrouteAll()
  await page.reload()
  await page.getByRole('button', { name: /^Theme: as the system/ }).click()
  expect(await isDark()).toBe(false)
  await page.reload()
  await modelKnown(page)
  expect(await isDark()).toBe(false)
})

test('the language is changed in place and kept', async () => {
  const page = await openPage()
  const suggested = () => page.locator('.stage .empty li').allTextContents()
  expect((await suggested()).filter((prompt) => /\p{Script=Han}/u.test(prompt))).toEqual([])
  await page.getByRole('button', { name: '中文' }).click()
  await page.getByRole('button', { name: '生成' }).waitFor()
  expect((await suggested()).filter((prompt) => !/\p{Script=Han}/u.test(prompt))).toEqual([])
  await page.locator('nav button:nth-child(3)').click()
  await page.getByText('它能画的 261 种事物').click()
  await page.getByText('猴子、大猩猩、狗').waitFor()
  await picture(page, 'zh-CN-names')
  await page.reload()
  await page.getByRole('button', { name: '生成' }).waitFor()
  expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN')
})
