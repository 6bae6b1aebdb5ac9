import { expect, test } from 'vitest'
import { PROMPT, finished, generate, openPage } from './browser'

test('a picture is made, browsed, enlarged and saved without a mouse', async () => {
  const page = await openPage()
  await generate(page)
  await generate(page, `${PROMPT}, small`)
  await page.locator('h1').click()

  await page.keyboard.press('ArrowRight')
  await page.locator('.stage').getByText(PROMPT, { exact: true }).waitFor()
  await page.keyboard.press('ArrowLeft')
  await page.locator('.stage').getByText(`${PROMPT}, small`).waitFor()

  const [saved] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('d')])
  expect(saved.suggestedFilename()).toMatch(/^a-red-apple-small-\d+\.png$/)

  await page.keyboard.press('s')
  await page.getByText(/Seed \d+ is kept\./).waitFor()

  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await page.keyboard.press('Escape')

  const enlarge = page.getByRole('button', { name: 'Look closer' })
  await enlarge.focus()
  await page.keyboard.press('Enter')
  const lightbox = page.getByRole('dialog', { name: PROMPT })
  await lightbox.waitFor()
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement?.closest('dialog')))).toBe(true)
  }
  await page.getByRole('button', { name: 'Larger' }).press('Enter')
  await page.locator('.zoom-2').waitFor()
  await page.keyboard.press('Escape')
  expect(await enlarge.evaluate((element) => element === document.activeElement)).toBe(true)
})

test('while text is typed, letters are letters', async () => {
  const page = await openPage()
  await generate(page)
  await page.locator('#prompt').focus()
  await page.keyboard.press('End')
  await page.keyboard.type('sd?')
  expect(await page.locator('#prompt').inputValue()).toBe(`${PROMPT}sd?`)
  expect(await page.locator('dialog[open]').count()).toBe(0)
})

test('Tab reaches every control in the order of the page, and Esc cancels', async () => {
  const page = await openPage({ steps: 30, expected: /409/ })
  const order: string[] = []
  await page.locator('#prompt').focus()
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press('Tab')
    order.push(await page.evaluate(() => (document.activeElement as HTMLElement).innerText || (document.activeElement as HTMLInputElement).name))
  }
  expect(order.map((one) => one.split('\n')[0]!.trim())).toEqual([expect.stringMatching(/picture/), 'size', 'Advanced', expect.stringMatching(/^Generate/), expect.any(String)])
  await page.locator('#prompt').fill(PROMPT)
  await page.keyboard.press('Control+Enter')
  await page.getByRole('progressbar').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.stage[aria-busy=false]').waitFor()
})

test('sliders follow the arrow keys', async () => {
  const page = await openPage({ steps: null })
  await page.getByRole('button', { name: 'Advanced' }).click()
  const slider = page.getByRole('slider', { name: 'Steps' })
  const before = Number(await slider.getAttribute('aria-valuenow'))
  await slider.press('ArrowRight')
  expect(Number(await slider.getAttribute('aria-valuenow'))).toBe(before + 1)
  expect(await page.getByRole('spinbutton', { name: 'Steps' }).inputValue()).toBe(String(before + 1))
})

test('Enter in the middle of a Chinese word does not generate', async () => {
  const page = await openPage()
  await page.locator('#prompt').evaluate((element) =>
    element.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true })),
  )
  expect(await page.locator('.stage[aria-busy=true]').count()).toBe(0)
  await generate(page)
  await page.keyboard.press('Control+Enter')
  await finished(page)
})
