import { useColorMode } from '@vueuse/core'

export type Theme = 'auto' | 'light' | 'dark'

/** theme.js reads the same key before the first paint. */
export function useTheme() {
  const mode = useColorMode({ storageKey: 'easel.theme', emitAuto: true })
  return mode.store
}
