import { useDocumentVisibility, useEventListener, useIntervalFn } from '@vueuse/core'
import { computed, shallowRef, watch, type Ref } from 'vue'
import type { Service } from './service'
import type { EndpointHealth, Health, Model } from './types'

const CALM_MS = 60_000
const CHANGING_MS = 10_000

/**
 * Whether the models are ready, asleep or starting. Asked while the page is visible, more often while that changes.
 * `step`: what the current job does; while the model is not ready, each step may tell of another state.
 */
export function useHealth(service: Ref<Service>, isWaiting: Ref<boolean>, model: Ref<Model | null>, step: Ref<string>) {
  const response = shallowRef<Health | null>(null)
  /** The state of the chosen model. */
  const health = computed(() => (model.value && stateOf(model.value)) ?? response.value?.endpoint ?? null)
  const visibility = useDocumentVisibility()
  let askedAt = 0

  /** Return the state of a model. Before the first response of `GET /health`, that of `GET /models`. */
  function stateOf({ id, state }: Pick<Model, 'id' | 'state'>): EndpointHealth | null {
    const { models, model: first, endpoint } = response.value ?? {}
    return models?.[id] ?? (id === first ? endpoint : state) ?? null
  }

  async function ask() {
    askedAt = Date.now()
    response.value = await service.value.health().catch(() => null)
  }

  function askIfDue() {
    const isChanging = isWaiting.value || !health.value || health.value.status === 'starting'
    if (visibility.value === 'visible' && Date.now() - askedAt >= (isChanging ? CHANGING_MS : CALM_MS)) void ask()
  }

  watch(service, ask, { immediate: true })
  watch([visibility, isWaiting], askIfDue)
  watch(step, () => {
    if (health.value?.status !== 'ready') void ask()
  })
  useIntervalFn(askIfDue, CHANGING_MS)
  useEventListener(window, 'online', () => void ask())
  return { health, stateOf }
}
