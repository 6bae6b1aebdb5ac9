/** Weights of words, which the models here read as plain text unless the request asks for them. */
const WEIGHTS = [/\([^()]*:\s*\d+(?:\.\d+)?\s*\)/g, /\(\([^()]*\)\)|\[\[[^[\]]*\]\]/g, /\bBREAK\b/g]
/** Syntax of other programs that is never more than plain text. */
const SYNTAX = [
  /<(?:lora|lyco|hypernet|embedding):[^<>]*>/gi,
  /\{[^{}|]*\|[^{}]*\}/g,
  /(?<!\S)--(?:ar|v|s|no|style|stylize|chaos|seed|q|niji)\b(?:\s+[\d:.]+)?/g,
]
const MAX_SHOWN = 3

/** Whether the prompt has weights of words. */
export function hasWeights(prompt: string): boolean {
  return WEIGHTS.some((pattern) => prompt.search(pattern) >= 0)
}

/** Return the first pieces of the prompt that are written for another program. `weighted`: weights are read. */
export function foreignSyntax(prompt: string, weighted = false): string[] {
  const found = (weighted ? SYNTAX : [...SYNTAX, ...WEIGHTS]).flatMap((pattern) =>
    Array.from(prompt.matchAll(pattern), ([piece]) => piece),
  )
  return [...new Set(found)].slice(0, MAX_SHOWN)
}
