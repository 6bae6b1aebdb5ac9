import { useTimeoutFn } from '@vueuse/core'
import { ref } from 'vue'

const SHOWN_MS = 4000

/** One short sentence that comes and goes. */
export function useNotice() {
  const notice = ref('')
  const { start } = useTimeoutFn(() => (notice.value = ''), SHOWN_MS, { immediate: false })

  function say(sentence: string) {
    notice.value = sentence
    start()
  }

  return { notice, say }
}
