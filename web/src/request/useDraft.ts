import { useSessionStorage } from '@vueuse/core'
import { computed, watch, type Ref } from 'vue'
import type { Model } from '@/api/types'
import { changedSettings, emptyDraft, resetSettings, resolveSettings, validate, type Draft, type Start } from './draft'

const KEY = 'easel.draft'

/**
 * The form's values, with the settings and the validation failure that follow from the model. Each tab has its own,
 * kept over a reload; a new tab begins with the values that were changed last.
 */
export function useDraft(model: Ref<Model | null>, start: () => Start | null) {
  const draft = useSessionStorage<Draft>(KEY, lastDraft(), { mergeDefaults: true })
  watch(draft, (changed) => localStorage.setItem(KEY, JSON.stringify(changed)), { deep: true })

  const settings = computed(() => model.value && resolveSettings(draft.value, model.value, start()))
  const validationFailure = computed(
    () => model.value && settings.value && validate(settings.value, model.value, start()),
  )
  /** Names of the advanced settings that are not the model's defaults. */
  const changed = computed(() => (model.value ? changedSettings(draft.value, model.value, start()) : []))
  const reset = () => model.value && resetSettings(draft.value, model.value)
  return { draft, settings, validationFailure, changed, reset }
}

function lastDraft(): Draft {
  const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}')
  return { ...emptyDraft(), ...(typeof stored === 'object' ? stored : {}) }
}
