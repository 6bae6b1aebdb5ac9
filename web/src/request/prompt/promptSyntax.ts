/** Syntax of other programs that the models here read as plain text. */
const SYNTAX = [
  /<(?:lora|lyco|hypernet|embedding):[^<>]*>/gi,
  /\([^()]*:\s*\d+(?:\.\d+)?\s*\)/g,
  /\(\([^()]*\)\)|\[\[[^[\]]*\]\]/g,
  /\{[^{}|]*\|[^{}]*\}/g,
  /\bBREAK\b/g,
  /(?<!\S)--(?:ar|v|s|no|style|stylize|chaos|seed|q|niji)\b(?:\s+[\d:.]+)?/g,
]
const MAX_SHOWN = 3

/** Return the first pieces of the prompt that are written for another program. */
export function foreignSyntax(prompt: string): string[] {
  const found = SYNTAX.flatMap((pattern) => Array.from(prompt.matchAll(pattern), ([piece]) => piece))
  return [...new Set(found)].slice(0, MAX_SHOWN)
}
