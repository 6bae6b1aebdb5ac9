import type { Parameters } from './api/types'

export const SNIPPETS = ['curl', 'python', 'javascript'] as const

export type Snippet = (typeof SNIPPETS)[number]

const WITH_KEY = { curl: ` -H "x-api-key: $EASEL_KEY"`, python: `, "x-api-key": os.environ["EASEL_KEY"]`, javascript: `, 'x-api-key': process.env.EASEL_KEY` }

/** Code that draws the same picture. The key never leaves the page: the code reads it from EASEL_KEY. */
export function renderSnippet(kind: Snippet, url: string, { strength, ...parameters }: Parameters, needsKey: boolean): string {
  const key = needsKey ? WITH_KEY[kind] : ''
  const body = JSON.stringify(parameters)
  if (kind === 'curl') return curl(url, body, key)
  if (kind === 'python') return python(url, body, key, parameters.output_format)
  return javascript(url, body, key, parameters.output_format)
}

function curl(url: string, body: string, key: string): string {
  const quoted = body.replaceAll("'", `'\\''`)
  return `curl -s '${url}/generate' -H 'content-type: application/json'${key} \\\n  -d '${quoted}'\n`
}

function python(url: string, body: string, key: string, format: string): string {
  return `import base64, json${key && ', os'}
from urllib.request import Request, urlopen

body = json.loads(r'''${body.replaceAll("'", '\\u0027')}''')
headers = {"content-type": "application/json"${key}}
with urlopen(Request("${url}/generate", json.dumps(body).encode(), headers)) as answer:
    [picture] = json.load(answer)["generated_images"]
open("picture.${format}", "wb").write(base64.b64decode(picture))
`
}

function javascript(url: string, body: string, key: string, format: string): string {
  return `import { writeFile } from 'node:fs/promises'

const answer = await fetch('${url}/generate', {
  method: 'POST',
  headers: { 'content-type': 'application/json'${key} },
  body: JSON.stringify(${body}),
})
const { generated_images: [picture] } = await answer.json()
await writeFile('picture.${format}', picture, 'base64')
`
}
