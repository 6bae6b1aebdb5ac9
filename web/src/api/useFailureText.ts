import { useI18n } from 'vue-i18n'
import en from '@/locales/en'
import type { Failure } from './failure'
import { fieldKey, toPattern } from './textPattern'

const REFUSALS = Object.entries(en.refusals).map(([name, text]) => ({
  key: `refusals.${name}`,
  pattern: toPattern(text),
}))

/**
 * Describe a failure in the page's language. The API's own message is English and is shown on the English page, but not
 * the one about keys: it names headers, which a person cannot send.
 */
export function useFailureText() {
  const i18n = useI18n()

  return ({ code, detail, hint, param }: Failure): string => {
    const key = `errors.${code}`
    const name = fieldKey(param ?? '')
    const field = param && i18n.te(name) ? i18n.t(name) : ''
    if (!detail || code === 'unauthorized' || (i18n.locale.value !== 'en' && i18n.te(key)))
      return refusal(detail, field) ?? i18n.t(i18n.te(key) ? key : 'errors.internal', { field })
    const message = param && field ? detail.replace(param, field) : detail
    return [message, hint].filter(Boolean).map(toSentence).join(' ')
  }

  /** Return the translation of what the API says, where the page has one. */
  function refusal(detail: string | undefined, field: string): string | null {
    for (const { key, pattern } of REFUSALS) {
      const match = pattern.exec(detail ?? '')
      if (match) return i18n.t(key, { ...match.groups, field })
    }
    return null
  }
}

function toSentence(text: string): string {
  const capitalized = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?。！？]$/.test(capitalized) ? capitalized : `${capitalized}.`
}
