const WORD = '[\\p{L}\\p{N}_]'
const isWord = (letter = '') => new RegExp(WORD, 'u').test(letter)

/** The token as a whole word, as the model finds it. */
function pattern(token: string): string {
  const escaped = token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return (isWord(token.at(0)) ? `(?<!${WORD})` : '') + escaped + (isWord(token.at(-1)) ? `(?!${WORD})` : '')
}

/** Whether a text has the token of an embedding, in upper or lower case. */
export function hasToken(text: string, token: string): boolean {
  return new RegExp(pattern(token), 'iu').test(text)
}

export function withToken(text: string, token: string): string {
  return [text.trim(), token].filter(Boolean).join(', ')
}

/** Return the text without the token, its weight and the comma before or after it. */
export function withoutToken(text: string, token: string): string {
  if (!hasToken(text, token)) return text
  const word = pattern(token)
  const item = new RegExp(`,?\\s*(?:\\(${word}(?::[-\\d.]+)?\\)|${word})`, 'giu')
  return text.replace(item, '').replace(/^\s*,/, '').trim()
}
