import type { Page, Route } from 'playwright-core'
import { generate, modelLoaded, required, STAGE_IMAGE } from '../browser'

export interface State {
  name: string
  enter: (page: Page) => Promise<unknown>
}

const KNOWN = ['prompt', 'negative_prompt', 'width', 'height', 'num_inference_steps', 'seed', 'output_format']
const LORA = { scheduler: null, num_inference_steps: null, guidance_scale: null }
const CONTROL = { scale: 0.8, preprocess: 'canny' }

/** What the models have that the embedded model has not. */
const EXTRAS = {
  loras: [
    { ...LORA, id: 'comic', name: 'Comic', name_in: { 'zh-CN': '漫画' }, scale: 1, words: [] },
    {
      ...LORA,
      id: 'ink',
      name: 'Ink and wash',
      name_in: { 'zh-CN': '水墨' },
      scale: 0.8,
      words: ['ink wash', 'paper'],
    },
  ],
  embeddings: [
    { id: 'toy', token: '<cat-toy>', name: 'Cat toy', name_in: { 'zh-CN': '猫玩具' } },
    { id: 'hands', token: 'bad-hands', name: 'Bad hands', name_in: { 'zh-CN': '坏手' } },
    { id: 'x', token: 'x', name: 'A name of forty characters, no word less.', name_in: { 'zh-CN': '四十个字的名字' } },
  ],
  controls: [
    { ...CONTROL, id: 'canny', name: 'Edges', name_in: { 'zh-CN': '边缘' } },
    { ...CONTROL, id: 'pose', name: 'Pose', name_in: { 'zh-CN': '姿势' }, preprocess: null },
    { ...CONTROL, id: 'depth', name: 'Depth', name_in: { 'zh-CN': '深度' }, preprocess: null },
  ],
  content: ['refuse', 'flag'],
}
const STATES_OF_ENDPOINTS = { emoji: 'ready', studio: 'asleep', 'qwen-image-edit': 'starting', sdxl: 'broken' }

/** Give the page four models with everything that a model can have. The first generates all images. */
export async function offerModels(page: Page): Promise<void> {
  let sent: Record<string, unknown> = {}
  await page.route(/\/models$/, async (route) => {
    const { models }: { models: Record<string, unknown>[] } = await (await route.fetch()).json()
    const rich = { ...models[0], ...EXTRAS }
    const other = (id: string, name: string, changes = {}) => ({ ...rich, id, name, subjects: [], ...changes })
    const all = [
      rich,
      other('studio', 'Studio', { loras: [], controls: [] }),
      other('qwen-image-edit', 'Qwen-Image-Edit 2509', { edits: 3, features: [] }),
      other('sdxl', 'Stable Diffusion XL', { embeddings: [] }),
    ]
    await route.fulfill({ json: { models: all } })
  })
  await page.route(/\/health$/, (route) => {
    const states = Object.entries(STATES_OF_ENDPOINTS).map(([id, status]) => {
      const wake_minutes = ['asleep', 'starting'].includes(status) ? [4, 10] : null
      return [id, { status, detail: '', wake_minutes, usd_per_hour: 0.7364 }] as const
    })
    const models = Object.fromEntries(states)
    return route.fulfill({ json: { status: 'ok', model: 'emoji', endpoint: models.emoji, models } })
  })
  const answer = async (route: Route, options: { postData?: string } = {}) => {
    const response = await route.fetch(options)
    const job = await response.json()
    const parameters = { ...job.parameters, ...sent }
    const images = [...job.images].map((image: object) => ({ ...image, flagged: sent.content === 'flag' }))
    await route.fulfill({ response, json: { ...job, images, parameters, model: sent.model } })
  }
  await page.route(/\/jobs$/, async (route) => {
    const body: Record<string, unknown> = route.request().postDataJSON()
    const entries = Object.entries(body)
    sent = Object.fromEntries(entries.filter(([name]) => !KNOWN.includes(name)))
    await answer(route, {
      postData: JSON.stringify(Object.fromEntries(entries.filter(([name]) => KNOWN.includes(name)))),
    })
  })
  await page.route(/\/jobs\/\w+\/events$/, (route) => route.abort())
  await page.route(/\/jobs\/\w+$/, (route) => answer(route))
  await page.reload()
  await modelLoaded(page)
}

/** A PNG of two colours. */
async function picture(page: Page, width: number, height: number, colours: [string, string]) {
  const url = await page.evaluate(
    ([sides, [first, second]]) => {
      const canvas = Object.assign(document.createElement('canvas'), sides)
      const context = canvas.getContext('2d')
      if (!context) return ''
      const gradient = context.createLinearGradient(0, 0, sides.width, sides.height)
      gradient.addColorStop(0, first)
      gradient.addColorStop(1, second)
      context.fillStyle = gradient
      context.fillRect(0, 0, sides.width, sides.height)
      return canvas.toDataURL('image/png')
    },
    [{ width, height }, colours] as const,
  )
  return { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from(required(url.split(',')[1]), 'base64') }
}

const chip = (page: Page, title: string) => page.locator(`.pill[title="${title}"]`)
const choose = (page: Page, id: string) => page.locator('#model').selectOption(id)

/** States of a page whose models have everything. Each is entered from the one before. */
export const MODEL_STATES: State[] = [
  {
    name: 'extras',
    async enter(page) {
      await page.locator('#prompt').fill('a red apple')
      await chip(page, '<cat-toy>').click()
      await chip(page, 'ink').click()
      await page.locator('[id="lora-ink"]').waitFor()
    },
  },
  {
    name: 'control',
    async enter(page) {
      await chip(page, 'ink').click()
      await chip(page, 'canny').click()
      await chip(page, 'pose').click()
      await page
        .locator('.used input[type=file]')
        .first()
        .setInputFiles(await picture(page, 128, 128, ['red', 'gold']))
      await page.locator('.used img').waitFor()
      await page.locator('.used input[type=checkbox]').check()
    },
  },
  {
    name: 'control-error',
    async enter(page) {
      await page.locator('.bar button').last().click()
      await page.locator('#control-error').waitFor()
    },
  },
  {
    name: 'controlled',
    async enter(page) {
      await chip(page, 'pose').click()
      await generate(page)
      await page.locator(STAGE_IMAGE).waitFor()
    },
  },
  {
    name: 'menu-pictures',
    async enter(page) {
      await page.locator('.actions [aria-haspopup=menu]').click()
      await page.locator('[role=menuitem]').last().waitFor()
    },
  },
  {
    name: 'details',
    async enter(page) {
      await page.keyboard.press('Escape')
      await page.locator('.stage .image').click()
      await page.locator('dialog[open]').waitFor()
    },
  },
  {
    name: 'all-settings',
    async enter(page) {
      await page.keyboard.press('Escape')
      await chip(page, 'canny').click()
      await page.locator('.toggle').click()
      await page.locator('#output_format').waitFor()
      const [hires, flag] = [page.locator('#advanced input[type=checkbox]').first(), page.locator('.flagged input')]
      await hires.check()
      await flag.check()
      await page.locator('#clip_skip').fill('2')
      await page.locator('#clip_skip').press('Tab')
    },
  },
  {
    name: 'flagged',
    async enter(page) {
      await page.locator('#advanced input[type=checkbox]').first().uncheck()
      await generate(page)
      await page.locator('.stage img.flagged').waitFor()
    },
  },
  {
    name: 'flagged-shown',
    async enter(page) {
      await page.locator('.caption .warning button').click()
      await page.locator('.stage img:not(.flagged)').waitFor()
    },
  },
  { name: 'model-asleep', enter: (page) => choose(page, 'studio') },
  { name: 'model-broken', enter: (page) => choose(page, 'sdxl') },
  { name: 'model-starting', enter: (page) => choose(page, 'qwen-image-edit') },
  {
    name: 'edits',
    async enter(page) {
      const wide = await picture(page, 192, 96, ['teal', 'white'])
      const tall = await picture(page, 64, 160, ['black', 'orange'])
      await page.locator('.edits input[type=file]').setInputFiles([wide, tall, wide])
      await page.locator('.edits li').nth(2).waitFor()
    },
  },
  {
    name: 'edits-elsewhere',
    async enter(page) {
      await choose(page, 'emoji')
      await page.locator('.edits li').first().waitFor()
    },
  },
]
