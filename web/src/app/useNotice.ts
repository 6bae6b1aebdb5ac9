import { useTimeoutFn } from '@vueuse/core'
import { shallowRef } from 'vue'

const VISIBLE_MS = 5000

export interface Notice {
  text: string
  undo?: () => Promise<void>
}

/** A short message that disappears after five seconds. */
export function useNotice() {
  const notice = shallowRef<Notice | null>(null)
  const { start } = useTimeoutFn(() => (notice.value = null), VISIBLE_MS, { immediate: false })

  function showNotice(text: string, undo?: Notice['undo']) {
    notice.value = { text, undo }
    start()
  }

  return { notice, showNotice }
}
