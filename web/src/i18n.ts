import { createI18n } from 'vue-i18n'
import en from './locales/en'

export const LANGUAGES = { en: 'English', 'zh-CN': '中文' } as const

export type Language = keyof typeof LANGUAGES
export type Messages = typeof en

export const i18n = createI18n<[Messages], Language, false>({
  legacy: false,
  locale: 'en',
  fallbackLocale: 'en',
  messages: { en } as Record<Language, Messages>,
})

/** The first of the browser's languages that the page speaks. */
export function browserLanguage(): Language {
  const spoken = navigator.languages.find((tag) => /^(zh|en)\b/i.test(tag)) ?? 'en'
  return /^zh/i.test(spoken) ? 'zh-CN' : 'en'
}

export async function loadMessages(language: Language): Promise<void> {
  if (language !== 'zh-CN' || i18n.global.availableLocales.includes(language)) return
  const { default: messages } = await import('./locales/zh-CN')
  i18n.global.setLocaleMessage(language, messages)
}
