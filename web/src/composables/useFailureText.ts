import { useI18n } from 'vue-i18n'
import type { Failure } from '@/api/failure'

/** A failure in the person's language: the API's own words are English, so they serve where English is spoken. */
export function useFailureText() {
  const { t, te, locale } = useI18n()

  return ({ code, detail, hint, param }: Failure): string => {
    const key = `errors.${code}`
    const field = param && te(`fields.${param}`) ? t(`fields.${param}`) : ''
    if (!detail || (locale.value !== 'en' && te(key))) return t(te(key) ? key : 'errors.internal', { field })
    const told = param && field ? detail.replace(param, field) : detail
    return [told, hint].filter(Boolean).map(sentence).join(' ')
  }
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?。！？]$/.test(capital) ? capital : `${capital}.`
}
