import { useTimeoutFn } from '@vueuse/core'
import { shallowRef } from 'vue'

const VISIBLE_MS = 5000
/** Time to find and press Undo. */
const UNDO_MS = 10_000

export interface Notice {
  text: string
  undo?: () => Promise<void>
}

/** A short message that disappears by itself. */
export function useNotice() {
  const notice = shallowRef<Notice | null>(null)
  const visibleMs = () => (notice.value?.undo ? UNDO_MS : VISIBLE_MS)
  const { start } = useTimeoutFn(() => (notice.value = null), visibleMs, { immediate: false })

  function showNotice(text: string, undo?: Notice['undo']) {
    notice.value = { text, undo }
    start()
  }

  return { notice, showNotice }
}
