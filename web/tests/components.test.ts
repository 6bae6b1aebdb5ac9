import { mount, flushPromises } from '@vue/test-utils'
import { beforeEach, expect, test, vi } from 'vitest'
import type { Component } from 'vue'
import type { Model } from '@/api/types'
import { failure } from '@/api/failure'
import GenerateBar from '@/components/GenerateBar.vue'
import HelpDialog from '@/components/HelpDialog.vue'
import PictureFacts from '@/components/PictureFacts.vue'
import PromptField from '@/components/PromptField.vue'
import SeedField from '@/components/SeedField.vue'
import SettingsDialog from '@/components/SettingsDialog.vue'
import SizeChips from '@/components/SizeChips.vue'
import type { Picture } from '@/history'
import { i18n, loadMessages } from '@/i18n'
import { createStudio, studioKey } from '@/studio'
import { aModel, aService } from './fakes'

const service = aService()
vi.mock('@/api/service', async (original) => ({ ...(await original<object>()), createService: () => service }))

beforeEach(() => localStorage.clear())

async function show(component: Component, studio = createStudio()) {
  const shown = mount(component, { global: { plugins: [i18n], provide: { [studioKey as symbol]: studio } } })
  await flushPromises()
  return { studio, shown }
}

test('the chips are the model’s sizes, and choosing one sets both sides', async () => {
  const { studio, shown } = await show(SizeChips)
  expect(shown.findAll('.chip').map((chip) => chip.text())).toEqual(['1:1512 × 512', '3:2768 × 512'])
  await shown.findAll('input')[1]!.trigger('change')
  expect(studio.settings.value).toMatchObject({ width: 768, height: 512 })
})

test('a seed that is typed is kept, and the lock lets it go', async () => {
  const { studio, shown } = await show(SeedField)
  const input = shown.find('input')
  await input.setValue('42')
  await input.trigger('change')
  expect(studio.draft.value).toMatchObject({ seed: 42, seedLocked: true })
  await shown.find('[aria-pressed=true]').trigger('click')
  expect(studio.draft.value).toMatchObject({ seed: 42, seedLocked: false })
})

test('the dice give a seed within the model’s bounds', async () => {
  const { studio, shown } = await show(SeedField)
  await shown.findAll('button').at(-1)!.trigger('click')
  expect(studio.draft.value.seed).toBeLessThanOrEqual(aModel().bounds.seed.maximum)
  expect(studio.draft.value.seedLocked).toBe(true)
})

test('characters are counted, and a long prompt is told', async () => {
  const { studio, shown } = await show(PromptField)
  studio.draft.value.prompt = 'word '.repeat(80)
  await flushPromises()
  expect(shown.text()).toContain('400 / 2000')
  expect(shown.text()).toContain('About 80 tokens')
})

test('an error that means no field stands by the button, one that does not', async () => {
  const { studio, shown } = await show(GenerateBar)
  studio.run.runFailure.value = failure('service', 'blank_output')
  await flushPromises()
  expect(shown.find('[role=alert]').text()).toContain('The model drew only black.')
  studio.run.runFailure.value = failure('request', 'out_of_range', 'seed')
  await flushPromises()
  expect(shown.find('[role=alert]').exists()).toBe(false)
  expect(studio.advanced.value).toBe(true)
})

test('a wrong key opens the settings', async () => {
  const { studio } = await show(GenerateBar)
  studio.run.runFailure.value = failure('auth', 'unauthorized')
  await flushPromises()
  expect(studio.dialog.value).toBe('settings')
})

test('the help says on which terms the model draws', async () => {
  const { shown } = await show(HelpDialog)
  const link = shown.find('.licence a')
  expect([link.text(), link.attributes('href')]).toEqual(['MIT', 'https://example.org/licence'])
})

test('what the model warns of is worded in the person’s language', async () => {
  const warnings = [
    'Emoji draws 128x128; the picture was scaled to 512x512.',
    'Emoji draws 128x128; the picture was scaled to 512x256, and its edges were extended to fill it.',
    'init_image has 640x480 pixels; it was cut to the proportions of 512x512.',
    'Prompt 1 has 90 tokens; this model reads the first 75.',
    'This model draws 261 things and found none of them in the prompt. Try for instance 猴子, 狗; GET /models has the list.',
    'Something new.',
  ]
  const picture = { parameters: { prompt: 'a', seed: 7 }, warnings } as unknown as Picture
  const facts = mount(PictureFacts, { props: { picture }, global: { plugins: [i18n] } })
  const told = () => facts.findAll('.warning').map((one) => one.text())
  expect(told()).toEqual(warnings)
  await loadMessages('zh-CN')
  i18n.global.locale.value = 'zh-CN'
  await flushPromises()
  expect(told()).toEqual([
    'Emoji 以 128x128 绘制，图片已缩放到 512x512。',
    'Emoji 以 128x128 绘制，图片已缩放到 512x256，并延伸边缘补满画面。',
    '起始图片为 640x480 像素，已按 512x512 的比例裁剪。',
    '第 1 条提示词有 90 个词元，此模型只读取前 75 个。',
    '此模型能画 261 种事物，提示词中一种也没有找到。可以试试：猴子, 狗。完整列表在帮助（?）里。',
    'Something new.',
  ])
  i18n.global.locale.value = 'en'
})

test('settings that the API asked for say why they are open', async () => {
  const studio = createStudio()
  studio.run.runFailure.value = failure('auth', 'unauthorized')
  const { shown } = await show(SettingsDialog, studio)
  expect(shown.find('[role=status]').text()).toContain('The API key is missing or wrong.')
})

test('a model that answers late does not replace that of a newer address', async () => {
  let answer!: (model: Model) => void
  vi.mocked(service.model).mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
  const { studio } = await show(GenerateBar)
  await studio.loadModel()
  answer({ ...aModel(), name: 'Old' })
  await flushPromises()
  expect(studio.model.value?.name).toBe('Example')
})
