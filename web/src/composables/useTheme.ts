import { useColorMode } from '@vueuse/core'

export type Theme = 'auto' | 'light' | 'dark'

/** Transitions stay: to stop them VueUse writes a style element, which the page's policy forbids. theme.js reads the same key before the first paint. */
export function useTheme() {
  const mode = useColorMode({ storageKey: 'easel.theme', emitAuto: true, disableTransition: false })
  return mode.store
}
