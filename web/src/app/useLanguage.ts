import { useLocalStorage } from '@vueuse/core'
import elementEn from 'element-plus/es/locale/lang/en'
import { shallowRef, watch } from 'vue'
import { browserLanguage, i18n, loadMessages, type Language } from './i18n'

const language = useLocalStorage<Language>('easel.language', browserLanguage, { writeDefaults: false })

/** The texts of Element Plus. Like the page's own, the Chinese ones are loaded where they are shown. */
const elementLanguage = shallowRef(elementEn)

/** Show the page in the selected language, or the browser's. */
export async function applyLanguage(): Promise<void> {
  await loadMessages(language.value)
  elementLanguage.value =
    language.value === 'zh-CN' ? (await import('element-plus/es/locale/lang/zh-cn')).default : elementEn
  i18n.global.locale.value = language.value
  document.documentElement.lang = language.value
}

export function useLanguage() {
  watch(language, applyLanguage)
  return { language, elementLanguage }
}
