import { expect, test } from 'vitest'
import en from '../src/locales/en'
import { PROMPT, button, generate, idle, newestJob, openAdvanced, openPage, startGeneration } from './browser'

test('an image is generated, browsed, enlarged and downloaded with the keyboard only', async () => {
  const page = await openPage()
  await generate(page)
  await generate(page, `${PROMPT}, small`)
  await page.locator('h1').click()

  await page.keyboard.press('ArrowRight')
  await page.locator('.stage').getByText(PROMPT, { exact: true }).waitFor()
  await page.keyboard.press('ArrowLeft')
  await page.locator('.stage').getByText(`${PROMPT}, small`).waitFor()

  const [file] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('d')])
  expect(file.suggestedFilename()).toMatch(/^a-red-apple-small-\d+\.png$/)

  await page.keyboard.press('s')
  await page.getByRole('status').getByText(/\d/).waitFor()

  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: en.help.title }).waitFor()
  await page.keyboard.press('Escape')

  const enlarge = button(page, en.stage.enlarge)
  await enlarge.focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: PROMPT }).waitFor()
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab')
    const isInDialog = await page.evaluate(
      () => document.activeElement === document.body || document.activeElement?.closest('dialog') !== null,
    )
    expect(isInDialog).toBe(true)
  }
  await button(page, en.lightbox.zoomIn).press('Enter')
  await page.locator('.zoom-2').waitFor()
  await page.keyboard.press('Escape')
  expect(await enlarge.evaluate((element) => element === document.activeElement)).toBe(true)
})

test('letters are no shortcuts in a text field', async () => {
  const page = await openPage()
  await generate(page)
  await page.locator('#prompt').focus()
  await page.keyboard.press('End')
  await page.keyboard.type('sd?')
  expect(await page.locator('#prompt').inputValue()).toBe(`${PROMPT}sd?`)
  expect(await page.locator('dialog[open]').count()).toBe(0)
})

test('in the prompt, arrow up brings earlier prompts and arrow down what was typed', async () => {
  const page = await openPage({ steps: 1 })
  for (const prompt of ['a dog', 'a cat']) await generate(page, prompt)
  const prompt = page.locator('#prompt')
  await prompt.fill('typed')
  await prompt.press('ArrowUp')
  expect(await prompt.inputValue()).toBe('typed')
  await prompt.press('Home')
  const seen = []
  for (const key of ['ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowDown', 'ArrowDown']) {
    await prompt.press(key)
    seen.push(await prompt.inputValue())
  }
  expect(seen).toEqual(['a cat', 'a dog', 'a dog', 'a cat', 'typed'])
})

test('Tab reaches every control in the order of the page, and Escape cancels the job', async () => {
  const page = await openPage({ steps: 100 })
  const order: string[] = []
  await page.getByRole('button', { name: 'Comic' }).waitFor()
  await page.locator('#prompt').focus()
  for (let i = 0; i < 10; i++) {
    await page.keyboard.press('Tab')
    const name = await page.evaluate(() => {
      const element = document.activeElement
      return element instanceof HTMLInputElement ? element.name : element?.textContent.trim() || element?.ariaLabel
    })
    order.push(name ?? '')
  }
  expect(order).toEqual([
    en.initImage.openOrUse,
    'size',
    'count',
    'Quick',
    'Fine',
    en.presets.manage,
    'Comic',
    en.advanced.title,
    en.advanced.reset,
    expect.stringMatching(new RegExp(`^${en.generate.label}`)),
  ])
  await startGeneration(page)
  await page.getByRole('progressbar').waitFor()
  await page.keyboard.press('Escape')
  await idle(page)
  await expect.poll(async () => (await newestJob()).status).toBe('cancelled')
})

test('arrow keys move a slider', async () => {
  const page = await openPage({ steps: null })
  await openAdvanced(page)
  const name = en.fields.num_inference_steps
  const slider = page.getByRole('slider', { name })
  const before = Number(await slider.getAttribute('aria-valuenow'))
  await slider.press('ArrowRight')
  expect(Number(await slider.getAttribute('aria-valuenow'))).toBe(before + 1)
  expect(await page.getByRole('spinbutton', { name }).inputValue()).toBe(String(before + 1))
})

test('Enter that ends the input of a Chinese word does not generate', async () => {
  const page = await openPage()
  await page
    .locator('#prompt')
    .evaluate((element) =>
      element.dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true }),
      ),
    )
  expect(await page.locator('.stage[aria-busy=true]').count()).toBe(0)
  await generate(page)
})
