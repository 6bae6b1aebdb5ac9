import type { Model } from './api/types'

const HAN = /\p{Script=Han}/u

/** Prompts to start from, in the person's language where the model has such. */
export function suggestionsIn(language: string, { suggestions }: Model): string[] {
  const own = suggestions.filter((suggestion) => HAN.test(suggestion) === (language === 'zh-CN'))
  return own.length ? own : suggestions
}

/** Everything that the model draws; nothing where it draws whatever is asked. An older API has no Chinese names. */
export function drawsIn(language: string, { draws, draws_in }: Model): string[] {
  return language === 'zh-CN' ? (draws_in?.[language] ?? draws) : draws
}
