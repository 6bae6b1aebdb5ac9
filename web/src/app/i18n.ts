import { createI18n } from 'vue-i18n'
import en from '@/locales/en'

export const LANGUAGES = { en: 'English', 'zh-CN': '中文' } as const

export type Language = keyof typeof LANGUAGES
type Messages = typeof en

export const i18n = createI18n<[Messages], Language, false>({
  legacy: false, // eslint-disable-line @typescript-eslint/no-deprecated -- the default until vue-i18n 12 is true
  locale: 'en',
  fallbackLocale: 'en',
  // Chinese is English until loadMessages() has loaded it.
  messages: { en, 'zh-CN': en },
})

/** Return the first of the browser's languages that the page has. */
export function browserLanguage(): Language {
  const tag = navigator.languages.find((language) => /^(zh|en)\b/i.test(language)) ?? 'en'
  return /^zh/i.test(tag) ? 'zh-CN' : 'en'
}

/** Join sentences of one language. Chinese has no space between them. */
export const joinSentences = (sentences: string[]) => sentences.join(' ').replaceAll('。 ', '。')

export async function loadMessages(language: Language): Promise<void> {
  if (language !== 'zh-CN') return
  const { default: messages } = await import('@/locales/zh-CN')
  i18n.global.setLocaleMessage(language, messages)
}
