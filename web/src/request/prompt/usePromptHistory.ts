import { computed, ref, type Ref } from 'vue'
import type { HistoryImage } from '@/history/imageStore'

/** Earlier prompts, by the arrow keys as in a shell: ↑ at the start of the text is the one before, ↓ at its end the next. */
export function usePromptHistory(prompt: Ref<string>, images: Ref<HistoryImage[]>) {
  const earlier = computed(() => [...new Set(images.value.map(({ parameters }) => parameters.prompt))])
  /** -1: the prompt that the user was typing. */
  const position = ref(-1)
  const shown = ref<string | null>(null)
  let typed = ''

  function browse(by: 1 | -1) {
    if (prompt.value !== shown.value) {
      position.value = -1
      typed = prompt.value
    }
    const choices = earlier.value.filter((text) => text !== typed)
    const next = position.value + by
    if (next < -1 || next >= choices.length) return
    position.value = next
    shown.value = prompt.value = choices[next] ?? typed
  }

  function onKeydown(event: KeyboardEvent) {
    const input = event.target
    if (!(input instanceof HTMLTextAreaElement) || event.isComposing) return
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return
    const { selectionStart, selectionEnd, value } = input
    if (selectionStart !== selectionEnd) return
    const isBrowsing = value === shown.value && value !== typed
    if (event.key === 'ArrowUp' && (selectionStart === 0 || isBrowsing)) browse(1)
    else if (event.key === 'ArrowDown' && isBrowsing) browse(-1)
    else return
    event.preventDefault()
  }

  return { onKeydown }
}
