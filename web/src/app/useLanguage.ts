import { useLocalStorage } from '@vueuse/core'
import type { Language as ElementLanguage } from 'element-plus/es/locale'
import elementEn from 'element-plus/es/locale/lang/en'
import elementZh from 'element-plus/es/locale/lang/zh-cn'
import { computed, watch } from 'vue'
import { browserLanguage, i18n, loadMessages, type Language } from './i18n'

const ELEMENT_PLUS: Record<Language, ElementLanguage> = { en: elementEn, 'zh-CN': elementZh }

const language = useLocalStorage<Language>('easel.language', browserLanguage, { writeDefaults: false })

/** Show the page in the selected language, or the browser's. */
export async function applyLanguage(): Promise<void> {
  await loadMessages(language.value)
  i18n.global.locale.value = language.value
  document.documentElement.lang = language.value
}

export function useLanguage() {
  watch(language, applyLanguage)
  return { language, elementLanguage: computed(() => ELEMENT_PLUS[i18n.global.locale.value]) }
}
