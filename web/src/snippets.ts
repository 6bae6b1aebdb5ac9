import type { Parameters } from './api/types'

export const SNIPPETS = ['curl', 'python', 'javascript'] as const

export type Snippet = (typeof SNIPPETS)[number]

const WITH_KEY = { curl: ` -H "x-api-key: $EASEL_KEY"`, python: `, "x-api-key": os.environ["EASEL_KEY"]`, javascript: `, 'x-api-key': process.env.EASEL_KEY` }

/** Where a picture started from another: the file that the code reads, for the page keeps none. */
const START = 'start.png'

/** Code that draws the same picture. The key never leaves the page: the code reads it from EASEL_KEY. */
export function renderSnippet(kind: Snippet, url: string, parameters: Parameters, needsKey: boolean): string {
  const key = needsKey ? WITH_KEY[kind] : ''
  const body = JSON.stringify(parameters)
  const starts = parameters.strength !== undefined
  if (kind === 'curl') return curl(url, body, key, starts)
  if (kind === 'python') return python(url, body, key, parameters.output_format, starts)
  return javascript(url, body, key, parameters.output_format, starts)
}

function curl(url: string, body: string, key: string, starts: boolean): string {
  const quoted = body.replaceAll("'", `'\\''`)
  const call = `curl -s '${url}/generate' -H 'content-type: application/json'${key} \\\n  -d `
  if (!starts) return `${call}'${quoted}'\n`
  // Through a pipe: an argument may not be so long.
  const whole = `{ printf %s '${quoted.slice(0, -1)},"init_image":"'; base64 < ${START} | tr -d '\\n'; printf '"}'; } |\n`
  return `${whole}${call}@-\n`
}

function python(url: string, body: string, key: string, format: string, starts: boolean): string {
  const start = starts ? `body["init_image"] = base64.b64encode(open("${START}", "rb").read()).decode()\n` : ''
  return `import base64, json${key && ', os'}
from urllib.request import Request, urlopen

body = json.loads(r'''${body.replaceAll("'", '\\u0027')}''')
${start}headers = {"content-type": "application/json"${key}}
with urlopen(Request("${url}/generate", json.dumps(body).encode(), headers)) as answer:
    [picture] = json.load(answer)["generated_images"]
open("picture.${format}", "wb").write(base64.b64decode(picture))
`
}

function javascript(url: string, body: string, key: string, format: string, starts: boolean): string {
  const start = `{\n    ...${body},\n    init_image: await readFile('${START}', 'base64'),\n  }`
  return `import { ${starts ? 'readFile, ' : ''}writeFile } from 'node:fs/promises'

const answer = await fetch('${url}/generate', {
  method: 'POST',
  headers: { 'content-type': 'application/json'${key} },
  body: JSON.stringify(${starts ? start : body}),
})
const { generated_images: [picture] } = await answer.json()
await writeFile('picture.${format}', picture, 'base64')
`
}
