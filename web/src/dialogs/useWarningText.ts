import { useI18n } from 'vue-i18n'
import en from '@/locales/en'

const PATTERNS = Object.entries(en.warnings).map(([name, text]) => ({ name, pattern: toPattern(text) }))

/** Translate a warning of the model. It is recognised by its English text; an unknown warning is returned unchanged. */
export function useWarningText() {
  const { t } = useI18n()

  return (warning: string): string => {
    for (const { name, pattern } of PATTERNS) {
      const match = pattern.exec(warning)
      if (match) return t(`warnings.${name}`, { ...match.groups })
    }
    return warning
  }
}

function toPattern(text: string): RegExp {
  const literal = text.replace(/[.?+*()]/g, '\\$&')
  return new RegExp(`^${literal.replace(/\{(\w+)\}/g, '(?<$1>.+)')}$`)
}
