import { useI18n } from 'vue-i18n'
import type { Ref } from 'vue'
import en from '@/locales/en'
import { subjectIn } from './modelTexts'
import { fieldKey, toPattern } from './textPattern'
import type { Model } from './types'

const PATTERNS = Object.entries(en.warnings).map(([name, text]) => ({ name, pattern: toPattern(text) }))

/** Translate a warning of the model. It is recognised by its English text; an unknown warning is returned unchanged. */
export function useWarningText(model: Ref<Model | null>) {
  const i18n = useI18n()
  const { t, locale } = i18n

  return (warning: string): string => {
    for (const { name, pattern } of PATTERNS) {
      const match = pattern.exec(warning)
      if (match) return t(`warnings.${name}`, withNames({ ...match.groups }))
    }
    return warning
  }

  /** Replace the names of fields and subjects by those in the page's language. */
  function withNames(values: Record<string, string>): Record<string, string> {
    if (values.field && i18n.te(fieldKey(values.field))) return { ...values, field: t(fieldKey(values.field)) }
    if (!values.names || !model.value) return values
    const loaded = model.value
    const names = values.names.split(', ').map((name) => subjectIn(locale.value, loaded, name))
    return { ...values, names: names.join(t('help.separator')) }
  }
}
