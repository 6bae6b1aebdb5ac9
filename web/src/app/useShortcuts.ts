import { useEventListener } from '@vueuse/core'

const KEYS = {
  Escape: 'cancel',
  ArrowLeft: 'selectNewer',
  ArrowRight: 'selectOlder',
  d: 'download',
  s: 'reuseSeed',
  '?': 'help',
} as const

type ShortcutName = (typeof KEYS)[keyof typeof KEYS] | 'generate'

export type Shortcuts = Record<ShortcutName, () => unknown>

/** Keyboard shortcuts. They are off in text fields and dialogs, except Ctrl/⌘ + Enter and Escape in text fields. */
export function useShortcuts(actions: Shortcuts) {
  useEventListener(window, 'keydown', (event) => {
    const name = shortcutOf(event)
    if (!name || event.defaultPrevented || event.isComposing || isForOther(event, name)) return
    event.preventDefault()
    actions[name]()
  })
}

function shortcutOf({ key, ctrlKey, metaKey, altKey }: KeyboardEvent): ShortcutName | undefined {
  if (key === 'Enter' && (ctrlKey || metaKey)) return 'generate'
  if (ctrlKey || metaKey || altKey) return undefined
  const name = key.length === 1 ? key.toLowerCase() : key
  return isShortcutKey(name) ? KEYS[name] : undefined
}

function isShortcutKey(key: string): key is keyof typeof KEYS {
  return Object.hasOwn(KEYS, key)
}

/** Whether the key belongs to an open dialog or to the focused control. */
function isForOther({ target }: KeyboardEvent, name: ShortcutName): boolean {
  if (document.querySelector('dialog[open]')) return true
  if (name === 'generate' || name === 'cancel' || !(target instanceof HTMLElement)) return false
  return target.matches('input, textarea, select, [role="slider"], [role="menuitem"], [contenteditable]')
}
