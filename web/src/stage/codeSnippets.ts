import type { Parameters } from '@/api/types'

export const SNIPPET_LANGUAGES = ['curl', 'python', 'javascript'] as const

export type SnippetLanguage = (typeof SNIPPET_LANGUAGES)[number]

const KEY_HEADER = {
  curl: ` -H "x-api-key: $EASEL_KEY"`,
  python: `, "x-api-key": os.environ["EASEL_KEY"]`,
  javascript: `, 'x-api-key': process.env.EASEL_KEY`,
}

/** The init image that the code reads. The page does not keep init images, so the user saves one under this name. */
const INIT_IMAGE = 'start.png'

/** Render code that generates the same image. It reads the API key from EASEL_KEY, so the snippet has no key. */
export function renderSnippet(
  language: SnippetLanguage,
  url: string,
  parameters: Parameters,
  needsKey: boolean,
): string {
  const key = needsKey ? KEY_HEADER[language] : ''
  const body = JSON.stringify(parameters)
  const hasInitImage = parameters.strength !== undefined
  if (language === 'curl') return curl(url, body, key, hasInitImage)
  if (language === 'python') return python(url, body, key, parameters.output_format, hasInitImage)
  return javascript(url, body, key, parameters.output_format, hasInitImage)
}

function curl(url: string, body: string, key: string, hasInitImage: boolean): string {
  const quoted = body.replaceAll("'", `'\\''`)
  const command = `curl -s '${url}/generate' -H 'content-type: application/json'${key} \\\n  -d `
  if (!hasInitImage) return `${command}'${quoted}'\n`
  // Through a pipe: an init image is too long for an argument.
  const json = `{ printf %s '${quoted.slice(0, -1)},"init_image":"'; base64 < ${INIT_IMAGE} | tr -d '\\n'; printf '"}'; } |\n`
  return `${json}${command}@-\n`
}

function python(url: string, body: string, key: string, format: string, hasInitImage: boolean): string {
  const initImage = hasInitImage
    ? `body["init_image"] = base64.b64encode(open("${INIT_IMAGE}", "rb").read()).decode()\n`
    : ''
  return `import base64, json${key && ', os'}
from urllib.request import Request, urlopen

body = json.loads(r'''${body.replaceAll("'", '\\u0027')}''')
${initImage}headers = {"content-type": "application/json"${key}}
with urlopen(Request("${url}/generate", json.dumps(body).encode(), headers)) as response:
    [image] = json.load(response)["generated_images"]
open("image.${format}", "wb").write(base64.b64decode(image))
`
}

function javascript(url: string, body: string, key: string, format: string, hasInitImage: boolean): string {
  const withInitImage = `{\n    ...${body},\n    init_image: await readFile('${INIT_IMAGE}', 'base64'),\n  }`
  return `import { ${hasInitImage ? 'readFile, ' : ''}writeFile } from 'node:fs/promises'

const response = await fetch('${url}/generate', {
  method: 'POST',
  headers: { 'content-type': 'application/json'${key} },
  body: JSON.stringify(${hasInitImage ? withInitImage : body}),
})
const { generated_images: [image] } = await response.json()
await writeFile('image.${format}', image, 'base64')
`
}
