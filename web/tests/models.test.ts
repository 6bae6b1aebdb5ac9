import { describe, expect, test } from 'vitest'
import { ref } from 'vue'
import type { Model } from '@/api/types'
import { useModelChoice } from '@/models/useModelChoice'
import { emptyDraft, type Draft } from '@/request/draft'
import { createModel } from './data'

const SMALL = createModel({ id: 'small', name: 'Small', features: ['hires', 'clip_skip', 'image_to_image'] })
const LARGE = createModel({
  id: 'large',
  name: 'Large',
  sizes: [
    { width: 768, height: 768 },
    { width: 768, height: 512 },
  ],
  defaults: { ...SMALL.defaults, width: 768, height: 768 },
})

const DISTILLED = createModel({ id: 'distilled', name: 'Distilled', takes_negative_prompt: false })

function choiceOf(changes: Partial<Draft> = {}) {
  sessionStorage.clear()
  const [models, chosen] = [ref([SMALL, LARGE, DISTILLED]), ref('')]
  const model = ref<Model | null>(SMALL)
  const draft = ref({ ...emptyDraft(), prompt: 'a cat', seed: 7, seedLocked: true, ...changes })
  const choice = useModelChoice({ models, model, chosen, draft })
  const choose = (id: string) => {
    choice.chooseModel(id)
    model.value = models.value.find((item) => item.id === id) ?? null
  }
  return { ...choice, choose, chosen, draft }
}

describe('another model', () => {
  const own = {
    width: 512,
    height: 768,
    num_inference_steps: 30,
    strength: 0.3,
    loras: [{ id: 'comic', scale: 1 }],
    hires: { scale: 2, strength: 0.5, steps: null },
  }

  test('has its own settings, and the first gets its own back', () => {
    const { choose, chosen, draft, setAside } = choiceOf(own)
    choose('large')
    expect(chosen.value).toBe('large')
    expect(draft.value).toMatchObject({ prompt: 'a cat', seed: 7, seedLocked: true })
    expect(draft.value).toMatchObject({
      width: null,
      num_inference_steps: null,
      strength: null,
      loras: [],
      hires: null,
    })
    expect(setAside.value).toEqual({ model: 'Small', names: ['num_inference_steps', 'size', 'hires', 'loras'] })
    draft.value.guidance_scale = 3
    choose('small')
    expect(draft.value).toMatchObject({ ...own, guidance_scale: null })
    expect(setAside.value).toEqual({ model: 'Large', names: ['guidance_scale'] })
    choose('large')
    expect(draft.value).toMatchObject({ guidance_scale: 3, loras: [] })
  })

  test('keeps a size that both have, and negative prompt, format and number of images', () => {
    const shared = { width: 768, height: 512, negative_prompt: 'text', output_format: 'webp', num_images_per_prompt: 3 }
    const { choose, draft, setAside } = choiceOf(shared)
    choose('large')
    expect(draft.value).toMatchObject(shared)
    expect(setAside.value.names).toEqual([])
  })

  test('without a negative prompt leaves the one there is to the first', () => {
    const { choose, draft, setAside } = choiceOf({ negative_prompt: 'text' })
    choose('distilled')
    expect(draft.value.negative_prompt).toBe('text')
    expect(setAside.value).toEqual({ model: 'Small', names: ['negative_prompt'] })
    choose('large')
    expect(setAside.value.names).toEqual([])
  })

  test('is not one that is unknown, or chosen already', () => {
    const { choose, chosen, draft } = choiceOf(own)
    choose('unknown')
    choose('small')
    expect(chosen.value).toBe('')
    expect(draft.value).toMatchObject(own)
  })
})

test('a file names a model by its id or its name', () => {
  const { namedModel, modelName } = choiceOf()
  const id = (value: string, name = 'Model') => namedModel({ name, value })?.id
  expect([id('large'), id('Small'), id('other'), id('large', 'VAE')]).toEqual(['large', 'small', undefined, undefined])
  expect([modelName('large'), modelName('gone')]).toEqual(['Large', 'gone'])
})
