import { useLocalStorage } from '@vueuse/core'
import { computed, type Ref } from 'vue'
import type { Model } from '@/api/types'
import { check, emptyDraft, settle, type Draft } from '@/draft'

/** The form: kept over a reload, and seen through the limits of the model. */
export function useDraft(model: Ref<Model | null>, starts: () => boolean) {
  const draft = useLocalStorage<Draft>('easel.draft', emptyDraft(), { mergeDefaults: true })
  const settings = computed(() => model.value && settle(draft.value, model.value))
  const objection = computed(() => model.value && settings.value && check(settings.value, model.value, starts()))
  return { draft, settings, objection }
}
