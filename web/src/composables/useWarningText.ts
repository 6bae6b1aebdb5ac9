import { useI18n } from 'vue-i18n'
import en from '@/locales/en'

type Name = keyof typeof en.warnings

const KNOWN = Object.entries(en.warnings).map(([name, sentence]) => [name as Name, pattern(sentence)] as const)

/** A warning of the model in the person's language; one that the page does not know stays in its own words. */
export function useWarningText() {
  const { t } = useI18n()

  return (warning: string): string => {
    for (const [name, known] of KNOWN) {
      const found = known.exec(warning)
      if (found) return t(`warnings.${name}`, { ...found.groups })
    }
    return warning
  }
}

function pattern(sentence: string): RegExp {
  const literal = sentence.replace(/[.?+*()]/g, '\\$&')
  return new RegExp(`^${literal.replace(/\{(\w+)\}/g, '(?<$1>.+)')}$`)
}
