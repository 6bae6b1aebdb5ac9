const WORD_CHARACTERS = 7
const PIECES = /\p{Script=Han}|[\p{Letter}\p{Mark}]+|\p{Number}|[^\s\p{Letter}\p{Number}]/gu

/** Estimate the tokens: one for every 7 letters of a word, two for a Chinese character, one for a digit or sign. */
export function estimateTokens(text: string): number {
  return [...text.matchAll(PIECES)].reduce((sum, [piece]) => sum + tokensOf(piece), 0)
}

function tokensOf(piece: string): number {
  return /\p{Script=Han}/u.test(piece) ? 2 : Math.ceil(piece.length / WORD_CHARACTERS)
}
