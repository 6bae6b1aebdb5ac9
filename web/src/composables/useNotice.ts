import { useTimeoutFn } from '@vueuse/core'
import { shallowRef } from 'vue'

const SHOWN_MS = 5000

export interface Notice {
  sentence: string
  undo?: () => unknown
}

/** One short sentence that comes and goes. */
export function useNotice() {
  const notice = shallowRef<Notice | null>(null)
  const { start } = useTimeoutFn(() => (notice.value = null), SHOWN_MS, { immediate: false })

  function say(sentence: string, undo?: Notice['undo']) {
    notice.value = { sentence, undo }
    start()
  }

  return { notice, say }
}
