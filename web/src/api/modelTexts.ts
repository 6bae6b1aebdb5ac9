import type { Model } from './types'

const HAN = /\p{Script=Han}/u

/** Return the model's suggested prompts in the given language, or all of them if it has none in that language. */
export function suggestionsIn(language: string, { suggestions }: Model): string[] {
  const matching = suggestions.filter((suggestion) => HAN.test(suggestion) === (language === 'zh-CN'))
  return matching.length ? matching : suggestions
}

/** Return a subject's name in the given language, whichever language its name is in. */
export function subjectIn(language: string, model: Model, name: string): string {
  const lists = [model.subjects, ...Object.values(model.subjects_in)]
  const index = Math.max(...lists.map((names) => names.indexOf(name)))
  return subjectsIn(language, model)[index] ?? name
}

/** Return the names of everything the model can generate. Empty if it is not limited to a vocabulary. */
export function subjectsIn(language: string, { subjects, subjects_in }: Model): string[] {
  return language === 'zh-CN' ? (subjects_in[language] ?? subjects) : subjects
}

/** Return the name of a preset or LoRA in the given language. */
export function presetIn(
  language: string,
  { name, name_in }: { name: string; name_in: Record<string, string> },
): string {
  return (language === 'zh-CN' && name_in[language]) || name
}
