import { useDocumentVisibility, useEventListener, useIntervalFn } from '@vueuse/core'
import { shallowRef, watch, type Ref } from 'vue'
import type { Service } from './service'
import type { Health } from './types'

const CALM_MS = 60_000
const CHANGING_MS = 10_000

/** Whether the model is ready, asleep or starting. Asked while the page is visible, more often while that changes. */
export function useHealth(service: Ref<Service>, isWaiting: Ref<boolean>) {
  const health = shallowRef<Health['endpoint'] | null>(null)
  const visibility = useDocumentVisibility()
  let askedAt = 0

  async function ask() {
    askedAt = Date.now()
    health.value = await service.value.health().then(
      ({ endpoint }) => endpoint,
      () => null,
    )
  }

  function askIfDue() {
    const isChanging = isWaiting.value || !health.value || health.value.status === 'starting'
    if (visibility.value === 'visible' && Date.now() - askedAt >= (isChanging ? CHANGING_MS : CALM_MS)) void ask()
  }

  watch(service, ask, { immediate: true })
  watch([visibility, isWaiting], askIfDue)
  useIntervalFn(askIfDue, CHANGING_MS)
  useEventListener(window, 'online', () => void ask())
  return health
}
