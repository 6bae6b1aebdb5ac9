const WORD = '[\\p{L}\\p{N}_]'
const isWord = (letter = '') => new RegExp(WORD, 'u').test(letter)

/** The token as a whole word, as the model finds it. */
function pattern(token: string): string {
  const escaped = token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return (isWord(token.at(0)) ? `(?<!${WORD})` : '') + escaped + (isWord(token.at(-1)) ? `(?!${WORD})` : '')
}

/** One of the tokens of a model, which finds the longest: one may be a part of another. */
function anyOf(tokens: string[]): string {
  return [...tokens]
    .sort((a, b) => b.length - a.length)
    .map(pattern)
    .join('|')
}

const isSame = (found: string, token: string) => found.toLowerCase() === token.toLowerCase()

/** Whether a text has the token of an embedding, one of the model's `tokens`, in upper or lower case. */
export function hasToken(text: string, token: string, tokens: string[]): boolean {
  return Array.from(text.matchAll(new RegExp(anyOf(tokens), 'giu'))).some(([found]) => isSame(found, token))
}

export function withToken(text: string, token: string): string {
  return [text.trim(), token].filter(Boolean).join(', ')
}

/** Return the text without the token, its weight and the comma before or after it. */
export function withoutToken(text: string, token: string, tokens: string[]): string {
  if (!hasToken(text, token, tokens)) return text
  const any = anyOf(tokens)
  const item = new RegExp(`,?\\s*(?:\\((${any})(?::[-\\d.]+)?\\)|(${any}))`, 'giu')
  const kept = text.replace(item, (match: string, weighted?: string, plain?: string) =>
    isSame(weighted ?? plain ?? '', token) ? '' : match,
  )
  return kept.replace(/^\s*,/, '').trim()
}
