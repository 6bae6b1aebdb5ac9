import { useLocalStorage } from '@vueuse/core'
import { computed, type Ref } from 'vue'
import type { Model, Preset } from '@/api/types'
import { applyPreset, resolveSettings, type Draft, type Settings } from './draft'

/** Named settings: those of the model, and those that the user has saved in this browser. */
export function usePresets(draft: Ref<Draft>, settings: Ref<Settings | null>, model: Ref<Model | null>) {
  const own = useLocalStorage<Preset[]>('easel.presets', [])
  const presets = computed(() => [...(model.value?.presets ?? []), ...own.value])

  /** Whether the preset would change nothing. */
  function isCurrent(preset: Preset): boolean {
    if (!model.value) return false
    const changed = { ...draft.value }
    applyPreset(changed, preset, model.value)
    const before = resolveSettings(draft.value, model.value)
    return JSON.stringify(resolveSettings(changed, model.value)) === JSON.stringify(before)
  }

  /** Save the current settings. A preset of the same name is replaced. */
  function save(name: string) {
    if (!settings.value) return
    const { width, height, num_inference_steps, guidance_scale, scheduler, negative_prompt } = settings.value
    const values = { width, height, num_inference_steps, guidance_scale, scheduler, negative_prompt }
    own.value = [...own.value.filter((preset) => preset.name !== name), { name, name_in: {}, ...values }]
  }

  function remove({ name }: Preset) {
    own.value = own.value.filter((preset) => preset.name !== name)
  }

  return { own, presets, isCurrent, save, remove }
}
