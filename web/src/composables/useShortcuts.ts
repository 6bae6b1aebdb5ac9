import { useEventListener } from '@vueuse/core'

export interface Shortcuts {
  generate(): void
  cancel(): void
  later(): void
  earlier(): void
  download(): void
  useSeed(): void
  help(): void
}

const KEYS: Record<string, keyof Shortcuts> = {
  Escape: 'cancel',
  ArrowLeft: 'later',
  ArrowRight: 'earlier',
  d: 'download',
  s: 'useSeed',
  '?': 'help',
}

/** Keys act where no text is typed and no dialog is open; Ctrl or ⌘ with Enter also while typing. */
export function useShortcuts(actions: Shortcuts) {
  useEventListener(window, 'keydown', (event) => {
    const name = nameOf(event)
    if (!name || event.defaultPrevented || event.isComposing || isElsewhere(event, name)) return
    event.preventDefault()
    actions[name]()
  })
}

function nameOf({ key, ctrlKey, metaKey, altKey }: KeyboardEvent): keyof Shortcuts | undefined {
  if (key === 'Enter' && (ctrlKey || metaKey)) return 'generate'
  return ctrlKey || metaKey || altKey ? undefined : KEYS[key.length === 1 ? key.toLowerCase() : key]
}

function isElsewhere({ target }: KeyboardEvent, name: keyof Shortcuts): boolean {
  if (document.querySelector('dialog[open]')) return true
  if (name === 'generate' || name === 'cancel' || !(target instanceof HTMLElement)) return false
  return target.matches('input, textarea, select, [role="slider"], [role="menuitem"], [contenteditable]')
}
