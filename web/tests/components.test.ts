import { WarnTriangleFilled } from '@element-plus/icons-vue'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, test, vi } from 'vitest'
import type { Component } from 'vue'
import type * as serviceModule from '@/api/service'
import type { Job, Model } from '@/api/types'
import { failure } from '@/api/failure'
import { readModel } from '@/api/readModel'
import { appStateKey, createAppState } from '@/app/appState'
import { i18n, loadMessages } from '@/app/i18n'
import DropTarget from '@/dialogs/DropTarget.vue'
import HelpDialog from '@/dialogs/HelpDialog.vue'
import ImageDetails from '@/dialogs/ImageDetails.vue'
import SettingsDialog from '@/dialogs/SettingsDialog.vue'
import HistoryStrip from '@/history/HistoryStrip.vue'
import type { HistoryImage } from '@/history/imageStore'
import MarginFields from '@/inpaint/MarginFields.vue'
import { emptyEdit } from '@/inpaint/edit'
import en from '@/locales/en'
import AdvancedFields from '@/request/AdvancedFields.vue'
import GenerateBar from '@/request/GenerateBar.vue'
import InitImageField from '@/request/InitImageField.vue'
import RequestPanel from '@/request/RequestPanel.vue'
import EmbeddingChips from '@/request/prompt/EmbeddingChips.vue'
import PromptField from '@/request/prompt/PromptField.vue'
import FieldError from '@/request/fields/FieldError.vue'
import HiresFields from '@/request/fields/HiresFields.vue'
import SeedField from '@/request/fields/SeedField.vue'
import SizeChips from '@/request/fields/SizeChips.vue'
import SliderField from '@/request/fields/SliderField.vue'
import ImageCaption from '@/stage/ImageCaption.vue'
import StageView from '@/stage/StageView.vue'
import {
  createFakeService,
  createFinishedJob,
  createFirstModel,
  createHealth,
  createModel,
  deferred,
  PARAMETERS,
} from './data'

const IMAGE: HistoryImage = {
  id: 'job-1-0',
  createdAt: 0,
  model: 'example',
  mediaType: 'image/png',
  parameters: PARAMETERS,
  seconds: 1,
  warnings: [],
  thumbnail: new Blob(),
}

const models = vi.fn(() => Promise.resolve([createModel()]))
const service = createFakeService({ models })
vi.mock('@/api/service', async (importOriginal) => ({
  ...(await importOriginal<typeof serviceModule>()),
  createService: () => service,
}))

beforeEach(() => {
  localStorage.clear()
})

async function mountWithState(component: Component, state = createAppState(), props = {}) {
  const provideState = {
    install: (app: { provide: (key: symbol, value: unknown) => void }) => app.provide(appStateKey, state),
  }
  const wrapper = mount(component, { props, global: { plugins: [i18n, provideState] } })
  await flushPromises()
  return { state, wrapper }
}

test('the chips are the model’s sizes, and selecting one sets both sides', async () => {
  const { state, wrapper } = await mountWithState(SizeChips)
  expect(wrapper.findAll('.chip').map((chip) => chip.text())).toEqual(['1:1512 × 512', '3:2768 × 512'])
  await wrapper.findAll('input')[1]?.trigger('change')
  expect(state.settings.value).toMatchObject({ width: 768, height: 512 })
})

test('a typed seed is locked, and the lock button unlocks it', async () => {
  const { state, wrapper } = await mountWithState(SeedField)
  const input = wrapper.find('input')
  await input.setValue('42')
  await input.trigger('change')
  expect(state.draft.value).toMatchObject({ seed: 42, seedLocked: true })
  await wrapper.find('[aria-pressed=true]').trigger('click')
  expect(state.draft.value).toMatchObject({ seed: 42, seedLocked: false })
})

test('the chip of an embedding inserts its token where the user was, and takes it away', async () => {
  const names = { name: 'Bad hands', name_in: { 'zh-CN': '坏手' } }
  const model = createModel({ embeddings: [{ id: 'hands', token: 'bad-hands', ...names }] })
  const { state, wrapper } = await mountWithState(EmbeddingChips, undefined, { model })
  const chip = wrapper.get('.pill')
  expect([chip.text(), chip.attributes('title')]).toEqual(['Bad hands', 'bad-hands'])
  state.draft.value.prompt = 'a cat'
  await chip.trigger('click')
  expect([state.draft.value.prompt, chip.attributes('aria-pressed')]).toEqual(['a cat, bad-hands', 'true'])
  await chip.trigger('click')
  expect([state.draft.value.prompt, chip.attributes('aria-pressed')]).toEqual(['a cat', 'false'])
  const negative = Object.assign(document.createElement('textarea'), { id: 'negative_prompt' })
  document.body.append(negative)
  negative.focus()
  await chip.trigger('click')
  expect(state.draft.value).toMatchObject({ prompt: 'a cat', negative_prompt: 'bad-hands' })
  expect(wrapper.text()).toContain(en.embeddings.note)
  await wrapper.setProps({ model: { ...model, takes_negative_prompt: false } })
  expect(wrapper.text()).toContain(en.embeddings.promptNote)
  expect(chip.attributes('aria-pressed')).toBe('false')
  await chip.trigger('click')
  expect(state.draft.value).toMatchObject({ prompt: 'a cat, bad-hands', negative_prompt: 'bad-hands' })
})

test('a random seed is within the model’s bounds', async () => {
  const { state, wrapper } = await mountWithState(SeedField)
  await wrapper.findAll('button').at(-1)?.trigger('click')
  expect(state.draft.value.seed).toBeLessThanOrEqual(createModel().bounds.seed.maximum)
  expect(state.draft.value.seedLocked).toBe(true)
})

test('the prompt shows its characters and, if it is long, its tokens', async () => {
  const { state, wrapper } = await mountWithState(PromptField)
  state.draft.value.prompt = 'word '.repeat(80)
  await flushPromises()
  expect(wrapper.text()).toContain('400 / 2000')
  expect(wrapper.text()).toContain(i18n.global.t('prompt.long', { tokens: 80, model: 'Example', limit: 75 }))
})

test('a long prompt offers to read the rest, without brackets in it', async () => {
  models.mockResolvedValueOnce([createModel({ features: ['weighted_prompts'] })])
  const { state, wrapper } = await mountWithState(PromptField)
  const weights = () => wrapper.find('.weights input')
  state.draft.value.prompt = 'word'
  await flushPromises()
  expect(weights().exists()).toBe(false)
  state.draft.value.prompt = 'word '.repeat(80)
  await flushPromises()
  expect(wrapper.text()).toContain(en.prompt.inParts)
  await weights().setValue(true)
  expect(state.draft.value.weighted).toBe(true)
  expect(wrapper.text()).not.toContain(en.prompt.inParts)
})

test('files that are no pictures, and pictures that are too many, are not left out in silence', async () => {
  const { state } = await mountWithState(DropTarget)
  const drop = async (...types: string[]) => {
    state.showNotice('')
    const files = types.map((type, i) => new File(['x'], `${i}`, { type }))
    window.dispatchEvent(Object.assign(new Event('drop'), { dataTransfer: { types: ['Files'], files } }))
    await vi.dynamicImportSettled()
    await flushPromises()
    return state.notice.value?.text
  }
  expect(await drop('text/plain')).toBe(en.edits.unreadable)
  expect(await drop('image/png', 'image/png')).toBe(en.drop.first)
  expect(await drop('text/plain', 'image/png')).toBe(en.drop.first)
  expect(await drop('image/png')).not.toBe(en.drop.first)
})

test('of several files, those that are not added are named, at most twelve', async () => {
  models.mockResolvedValueOnce([createModel({ edits: 3 })])
  const { state } = await mountWithState(DropTarget)
  const add = async (count: number) => {
    await state.addEditImages(Array.from({ length: count }, (_, i) => new File(['x'], `${i}.txt`)))
    return state.notice.value?.text
  }
  expect(await add(1)).toBe(en.edits.unreadable)
  expect(await add(2)).toBe(`0.txt, 1.txt: ${en.edits.unreadable}`)
  expect(await add(13)).toContain('10.txt, 11.txt, …: ')
})

test('a failure without a field is shown above the button, one with a field is not', async () => {
  const { state, wrapper } = await mountWithState(GenerateBar)
  state.generation.failure.value = failure('service', 'blank_output')
  await flushPromises()
  expect(wrapper.find('[role=alert]').text()).toContain(en.errors.blank_output)
  state.generation.failure.value = failure('request', 'out_of_range', 'images[1]')
  await flushPromises()
  expect(wrapper.find('[role=alert]').exists()).toBe(false)
  state.generation.failure.value = failure('request', 'out_of_range', 'seed')
  await flushPromises()
  expect(wrapper.find('[role=alert]').exists()).toBe(false)
  expect(state.advancedOpen.value).toBe(true)
})

test('a wrong key opens the settings', async () => {
  const { state } = await mountWithState(GenerateBar)
  state.generation.failure.value = failure('auth', 'unauthorized')
  await flushPromises()
  expect(state.dialog.value).toBe('settings')
})

test('the settings opened by a wrong key show the failure, not which header to send', async () => {
  const state = createAppState()
  const sent = { detail: 'no valid API key', hint: 'Send a valid key as x-api-key.' }
  state.generation.failure.value = { ...failure('auth', 'unauthorized'), ...sent }
  const { wrapper } = await mountWithState(SettingsDialog, state)
  expect(wrapper.find('[role=status]').text()).toContain(en.errors.unauthorized)
})

test('the help links to the model’s licence', async () => {
  const { wrapper } = await mountWithState(HelpDialog)
  const link = wrapper.find('.licence a')
  expect([link.text(), link.attributes('href')]).toEqual(['MIT', 'https://example.org/licence'])
})

test('warnings of the model are translated', async () => {
  const warnings = [
    'Emoji generates 128x128; the image was scaled to 512x512.',
    'Emoji generates 128x128; the image was scaled to 512x256, and its edges were extended to fill it.',
    'This model knows 2 subjects and found none of them in the prompt; the nearest: steam train.',
    'control[0].image has 800x600 pixels; it was cropped to the proportions of 128x128.',
    'Prompt 1 has a bracket that is not closed: it counts to the end of the prompt.',
    'Something new.',
  ]
  models.mockResolvedValueOnce([createModel({ subjects: ['steam train'], subjects_in: { 'zh-CN': ['蒸汽火车'] } })])
  const image: HistoryImage = { ...IMAGE, warnings }
  const { wrapper: details } = await mountWithState(ImageDetails, createAppState(), { image })
  const shownWarnings = () => details.findAll('.warning').map((element) => element.text())
  const asInPage = warnings.map((text) => text.replace('control[0].image', en.fields.control))
  expect(shownWarnings()).toEqual(asInPage)
  await loadMessages('zh-CN')
  i18n.global.locale.value = 'zh-CN'
  await flushPromises()
  expect(shownWarnings()).toEqual([
    'Emoji 生成 128x128 的图片，已缩放到 512x512。',
    'Emoji 生成 128x128 的图片，已缩放到 512x256，并延伸边缘补满画面。',
    '此模型认识 2 种事物，提示词中一种也没有找到。最接近的是：蒸汽火车。',
    'ControlNet：800x600 像素，已按 128x128 的比例裁剪。',
    '第 1 条提示词有一个括号没有闭合，它一直作用到提示词末尾。',
    'Something new.',
  ])
  i18n.global.locale.value = 'en'
})

test('warnings look like warnings below the image and in its details', async () => {
  const image: HistoryImage = { ...IMAGE, warnings: ['Something.'], flagged: true, afterCancel: true }
  const iconsOf = async (component: Component) => {
    const { wrapper } = await mountWithState(component, createAppState(), { image })
    return wrapper.findAllComponents(WarnTriangleFilled).length
  }
  expect([await iconsOf(ImageCaption), await iconsOf(ImageDetails)]).toEqual([3, 1])
})

test('a late response of the old address does not replace the model of the new one', async () => {
  const response = deferred<Model[]>()
  models.mockImplementationOnce(() => response.promise)
  const { state } = await mountWithState(GenerateBar)
  await state.loadModel()
  response.resolve([createModel({ name: 'Old' })])
  await flushPromises()
  expect(state.model.value?.name).toBe('Example')
})

test('loaded settings are named if not taken, and what the API would refuse is shown', async () => {
  const { state, wrapper } = await mountWithState(PromptField)
  await state.loadParameters({ prompt: 'x'.repeat(3000), seed: -1 }, [{ name: 'Clip skip', value: '2' }])
  await flushPromises()
  expect(state.draft.value.seed).not.toBe(-1)
  expect(state.notice.value?.text).toContain(`${en.fields.seed}, Clip skip`)
  expect(wrapper.find('#prompt-error').exists()).toBe(true)
})

test('the history grows when its end leaves and enters the view before the page looks', async () => {
  type Callback = (entries: { isIntersecting: boolean }[]) => void
  const observers = new Map<Element, Callback>()
  class Observer {
    disconnect = vi.fn()
    constructor(private readonly callback: Callback) {}
    observe = (element: Element) => observers.set(element, this.callback)
  }
  vi.stubGlobal('IntersectionObserver', Observer)
  const state = createAppState()
  state.history.images.value = Array.from({ length: 500 }, (_, i) => ({ ...IMAGE, id: `job-${i}-0` }))
  const { wrapper } = await mountWithState(HistoryStrip, state)
  const [shown, first] = [wrapper.findAll('li').length, wrapper.get('button[aria-current]')]
  for (const { element } of [wrapper.get('ul + div'), first]) {
    observers.get(element)?.([{ isIntersecting: false }, { isIntersecting: true }])
    await flushPromises()
  }
  expect(wrapper.findAll('li').length).toBe(2 * shown)
  expect(first.find('img').exists()).toBe(true)
})

test('a negative prompt is offered only where the model takes one', async () => {
  for (const takes_negative_prompt of [true, false]) {
    models.mockResolvedValueOnce([createModel({ takes_negative_prompt })])
    const { wrapper } = await mountWithState(AdvancedFields)
    expect(wrapper.find('#negative_prompt').exists()).toBe(takes_negative_prompt)
  }
})

test('guidance is offered only where the model takes it', async () => {
  for (const takes_guidance_scale of [true, false]) {
    models.mockResolvedValueOnce([createModel({ takes_guidance_scale })])
    const { wrapper } = await mountWithState(AdvancedFields)
    await flushPromises()
    expect(wrapper.find('#num_inference_steps').exists()).toBe(true)
    expect(wrapper.find('#guidance_scale').exists()).toBe(takes_guidance_scale)
  }
})

test('the strength is not offered where a control fixes it', async () => {
  const control = { id: 'pose', name: 'Pose', name_in: {}, scale: 1, preprocess: null }
  const features: Model['features'] = ['image_to_image', 'inpaint']
  models.mockResolvedValueOnce([createModel({ features, controls: [control], control_without: ['strength'] })])
  const { state, wrapper } = await mountWithState(InitImageField)
  state.initImage.file.value = new File(['image'], 'a.png', { type: 'image/png' })
  await vi.waitFor(() => expect(wrapper.find('#strength').exists()).toBe(true), 4000)
  state.draft.value.control = [{ id: 'pose', scale: 1, start: 0, end: 1 }]
  state.inpaint.edit.value = { ...emptyEdit(), margins: { left: 64, right: 0, top: 0, bottom: 0 } }
  await flushPromises()
  expect(state.settings.value?.strength).toBe(1)
  expect(wrapper.find('#strength').exists()).toBe(false)
})

async function extendImage() {
  models.mockResolvedValueOnce([createModel({ features: ['image_to_image', 'inpaint'] })])
  const { state, wrapper } = await mountWithState(MarginFields)
  const size = () => [state.draft.value.width, state.draft.value.height]
  const extend = async (pixels: number) => {
    const input = wrapper.find('#margin-left input, input#margin-left')
    await input.setValue(pixels)
    await input.trigger('change')
  }
  state.initImage.file.value = new Blob()
  Object.assign(state.draft.value, { width: 256, height: 256 })
  state.inpaint.fit({ width: 768, height: 512 })
  await extend(384)
  expect(size()).toEqual([384, 256])
  return { state, size, extend }
}

test('without its margins an image has its size again', async () => {
  const { size, extend } = await extendImage()
  await extend(192)
  expect(size()).toEqual([576, 384])
  await extend(0)
  expect(size()).toEqual([768, 512])
})

test('a size that the user has chosen comes back with the end of the margins', async () => {
  const { state, size, extend } = await extendImage()
  Object.assign(state.draft.value, { width: 320, height: 320 })
  await extend(512)
  expect(size()).toEqual([256, 256])
  await extend(0)
  expect(size()).toEqual([320, 320])
})

test('"Change all of it" takes back the size of the edit, but none that was chosen after it', async () => {
  for (const [chosen, expected] of [
    [{}, [256, 256]],
    [{ width: 512, height: 512 }, [512, 512]],
  ] as const) {
    const { state, size } = await extendImage()
    Object.assign(state.draft.value, chosen)
    const { wrapper } = await mountWithState(InitImageField, state)
    await wrapper.find('.reset').trigger('click')
    expect(size()).toEqual(expected)
    expect(state.inpaint.isBlank()).toBe(true)
  }
})

test('without the init image the size is that of before, and another image is not shrunk by margins', async () => {
  for (const [file, expected] of [
    [null, [256, 256]],
    [new Blob(), [768, 512]],
  ] as const) {
    const { state, size } = await extendImage()
    state.initImage.file.value = file
    expect(size()).toEqual(expected)
  }
})

test('the size of an edit that ends with another model does not come back with the first', async () => {
  const { state, size } = await extendImage()
  const [first] = state.models.value
  if (!first) throw new Error('no model')
  state.models.value = [first, createModel({ id: 'other', name: 'Other' })]
  state.chooseModel('other')
  await flushPromises()
  expect(size()).toEqual([null, null])
  state.initImage.file.value = null
  state.chooseModel(first.id)
  expect(size()).toEqual([256, 256])
})

test('a size that only the open editor has set does not outlast a reload', async () => {
  const { state, extend } = await extendImage()
  await extend(0)
  state.inpaint.fit({ width: 768, height: 512 })
  await flushPromises()
  expect(createAppState().draft.value).toMatchObject({ width: 256, height: 256 })
})

test('changes of reused margins and of a reused second pass leave the image of the history as it is', async () => {
  const { state, extend } = await extendImage()
  const outpaint = { left: 0, right: 128, top: 0, bottom: 0 }
  state.inpaint.reset({ margins: outpaint })
  await extend(64)
  expect(state.inpaint.edit.value.margins.left).toBe(64)
  expect(outpaint.left).toBe(0)

  const hires = { scale: 1.5, strength: 0.5, steps: 10 }
  models.mockResolvedValueOnce([createModel({ features: ['hires'] })])
  const second = await mountWithState(HiresFields)
  await second.state.loadParameters({ hires })
  second.wrapper.findComponent(SliderField).vm.$emit('update:modelValue', 1.75)
  expect(second.state.draft.value.hires?.scale).toBe(1.75)
  expect(hires.scale).toBe(1.5)
})

test('a refusal of what a model does not take names the field in Chinese, too', async () => {
  const state = createAppState()
  const { wrapper } = await mountWithState(FieldError, state, { id: 'control-error', fields: ['control'] })
  const refused = failure('request', 'not_supported', 'control[1].id')
  state.generation.failure.value = { ...refused, detail: 'the ControlNets differ' }
  await loadMessages('zh-CN')
  i18n.global.locale.value = 'zh-CN'
  await flushPromises()
  expect(wrapper.text()).toContain('该模型不支持ControlNet')
  i18n.global.locale.value = 'en'
})

test('a refused weight is named in Chinese, too', async () => {
  const state = createAppState()
  const { wrapper } = await mountWithState(FieldError, state, { id: 'prompt-error', fields: ['prompt'] })
  const refused = failure('request', 'out_of_range', 'prompt')
  state.generation.failure.value = { ...refused, detail: 'prompt has a part of weight 25, outside -10 to 10' }
  await loadMessages('zh-CN')
  i18n.global.locale.value = 'zh-CN'
  await flushPromises()
  expect(wrapper.text()).toContain('提示词中有一处权重为 25，允许 -10 到 10。')
  i18n.global.locale.value = 'en'
})

test('the model’s state is asked for as a job goes on, until the model is ready', async () => {
  let status: 'asleep' | 'starting' | 'ready' = 'asleep'
  vi.mocked(service.health).mockImplementation(() => {
    const endpoint = { ...createHealth().endpoint, status }
    return Promise.resolve({ ...createHealth(), endpoint, models: { example: endpoint } })
  })
  const state = createAppState()
  await flushPromises()
  expect(state.health.value?.status).toBe('asleep')
  const job = deferred<Job>()
  vi.mocked(service.job).mockReturnValueOnce(job.promise)
  status = 'starting'
  void state.generation.start({ prompt: 'a red apple' })
  await flushPromises()
  expect(state.health.value?.status).toBe('starting')
  status = 'ready'
  job.resolve(createFinishedJob())
  await vi.waitFor(() => {
    expect(state.health.value?.status).toBe('ready')
  })
})

test('the page works with the models of the first version of the API', async () => {
  models.mockResolvedValue([readModel(createFirstModel()), readModel({ ...createFirstModel(), id: 'other' })])
  const { state, wrapper } = await mountWithState(RequestPanel)
  await vi.dynamicImportSettled()
  expect(wrapper.findAll('#model option').map((option) => option.text())).toEqual(['Example', 'Example'])
  expect(wrapper.find('#model-state').text()).toBe('ready')
  await wrapper.find('textarea').setValue('a red apple')
  expect(state.settings.value).toMatchObject({ prompt: 'a red apple', num_inference_steps: 20 })
  const { wrapper: stage } = await mountWithState(StageView, state)
  expect(stage.text()).toContain('a red apple')
})

test('after a refusal of something unknown, what the model has is loaded again', async () => {
  const comic = { id: 'comic', name: 'Comic', name_in: {}, scale: 1, words: [], licence: '', licence_url: '' }
  const defaults = { scheduler: null, num_inference_steps: null, guidance_scale: null }
  models.mockResolvedValueOnce([createModel({ loras: [{ ...comic, ...defaults }] })])
  const { state } = await mountWithState(RequestPanel)
  expect(state.model.value?.loras.map(({ id }) => id)).toEqual(['comic'])
  state.generation.failure.value = failure('request', 'unknown_value', 'loras[0].id')
  await flushPromises()
  expect(state.model.value?.loras).toEqual([])
  expect(state.visibleFailure.value?.code).toBe('unknown_value')
  models.mockRejectedValueOnce(new Error('offline'))
  state.generation.failure.value = failure('request', 'unknown_value', 'model')
  await flushPromises()
  expect(state.model.value?.id).toBe('example')
})
