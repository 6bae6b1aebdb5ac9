/** Return a pattern that recognises an English text of the service, with its placeholders as groups. */
export function toPattern(text: string): RegExp {
  const literal = text.replace(/[.?+*()]/g, '\\$&')
  return new RegExp(`^${literal.replace(/\{(\w+)\}/g, '(?<$1>.+)')}$`)
}

/** Return the key of the name that the page has for a field of a request: `control[0].image` is that of `control`. */
export const fieldKey = (param: string) => `fields.${param.split(/[.[]/)[0]}`
