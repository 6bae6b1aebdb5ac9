import { useColorMode } from '@vueuse/core'

export type Theme = 'auto' | 'light' | 'dark'

/**
 * The theme. public/theme.js reads the same key before the first paint.
 * Transitions stay on: to switch them off VueUse adds a style element, which the content security policy forbids.
 */
export function useTheme() {
  const { store } = useColorMode({ storageKey: 'easel.theme', disableTransition: false })
  return store
}
