import { useLocalStorage } from '@vueuse/core'
import { computed, type Ref } from 'vue'
import type { Model } from '@/api/types'
import { emptyDraft, resolveSettings, validate, type Draft } from './draft'

/** The form's values, kept over a reload, with the settings and the validation failure that follow from the model. */
export function useDraft(model: Ref<Model | null>, hasInitImage: () => boolean) {
  const draft = useLocalStorage<Draft>('easel.draft', emptyDraft(), { mergeDefaults: true })
  const settings = computed(() => model.value && resolveSettings(draft.value, model.value))
  const validationFailure = computed(
    () => model.value && settings.value && validate(settings.value, model.value, hasInitImage()),
  )
  return { draft, settings, validationFailure }
}
