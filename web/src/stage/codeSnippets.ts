import type { Parameters } from '@/api/types'

export const SNIPPET_LANGUAGES = ['curl', 'python', 'javascript'] as const

export type SnippetLanguage = (typeof SNIPPET_LANGUAGES)[number]

const KEY_HEADER = {
  curl: ` -H "x-api-key: $EASEL_KEY"`,
  python: `, "x-api-key": os.environ["EASEL_KEY"]`,
  javascript: `, 'x-api-key': process.env.EASEL_KEY`,
}

/** The files that the code reads, under the names by which the page downloads them, and the fields of the request. */
export const INPUT_FILES = { init: 'start.png', mask: 'mask.png' }

interface Snippet {
  url: string
  body: string
  /** The header with the key, or an empty text. */
  key: string
  file: string
  inputs: { field: string; name: string }[]
}

/**
 * Render code that generates the same image into a file. It submits a job and waits for it, as long as the model takes
 * to wake up. It reads the API key from EASEL_KEY, so the snippet has no key.
 */
export function renderSnippet(
  language: SnippetLanguage,
  url: string,
  parameters: Parameters,
  needsKey: boolean,
): string {
  const snippet = {
    url,
    body: JSON.stringify(parameters),
    key: needsKey ? KEY_HEADER[language] : '',
    file: `image.${parameters.output_format}`,
    inputs: [
      ...(parameters.strength === undefined ? [] : [{ field: 'init_image', name: INPUT_FILES.init }]),
      ...(parameters.mask_mode === undefined ? [] : [{ field: 'mask_image', name: INPUT_FILES.mask }]),
    ],
  }
  return { curl, python, javascript }[language](snippet)
}

function curl({ url, body, key, file, inputs }: Snippet): string {
  const quoted = body.replaceAll("'", `'\\''`)
  // An image is too long for an argument.
  const files = inputs
    .map(({ field, name }, i) => `printf '${i ? '"' : ''},"${field}":"'; base64 < ${name} | tr -d '\\n'; `)
    .join('')
  const json = files ? `{ printf %s '${quoted.slice(0, -1)}'; ${files}printf '"}'; }` : `printf %s '${quoted}'`
  return `base='${url}'
job=$(${json} |
  curl -sS "$base/jobs" -H 'content-type: application/json'${key} -d @-)
id=$(printf %s "$job" | sed -nE 's/^\\{"id": ?"([0-9a-f]+)".*/\\1/p')
while [ "$id" ] && printf %s "$job" | grep -qE '"status": ?"(queued|running)"'; do
  sleep 1
  job=$(curl -sS "$base/jobs/$id"${key})
done
url=$(printf %s "$job" | sed -nE 's/.*"images": ?\\[\\{"url": ?"([^"]+)".*/\\1/p')
case $url in /*) url=$base$url ;; esac
if [ "$url" ]; then curl -sS "$url" -o ${file} && echo ${file}; else printf '%s\\n' "$job" >&2; fi
`
}

function python({ url, body, key, file, inputs }: Snippet): string {
  const images = inputs
    .map(({ field, name }) => `body["${field}"] = base64.b64encode(open("${name}", "rb").read()).decode()\n`)
    .join('')
  return `import ${images && 'base64, '}json${key && ', os'}, time
from urllib.request import Request, urlopen

base = "${url}"
headers = {"content-type": "application/json"${key}}
body = json.loads(r'''${body.replaceAll("'", '\\u0027')}''')
${images}

def call(path, body=None):
    with urlopen(Request(base + path, body, headers)) as response:
        return json.load(response)


job = call("/jobs", json.dumps(body).encode())
while job["status"] in ("queued", "running"):
    time.sleep(1)
    job = call("/jobs/" + job["id"])
if job["status"] != "succeeded":
    raise SystemExit(job["message"])
url = job["images"][0]["url"]
with urlopen(base + url if url.startswith("/") else url) as response:
    open("${file}", "wb").write(response.read())
`
}

function javascript({ url, body, key, file, inputs }: Snippet): string {
  const images = inputs.map(({ field, name }) => `  ${field}: await readFile('${name}', 'base64'),\n`).join('')
  return `import { ${images && 'readFile, '}writeFile } from 'node:fs/promises'

const base = '${url}'
const headers = { 'content-type': 'application/json'${key} }
const body = ${images ? `{\n  ...${body},\n${images}}` : body}

async function call(path, options) {
  const response = await fetch(base + path, { headers, ...options })
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}

let job = await call('/jobs', { method: 'POST', body: JSON.stringify(body) })
while (['queued', 'running'].includes(job.status)) {
  await new Promise((resolve) => setTimeout(resolve, 1000))
  job = await call(\`/jobs/\${job.id}\`)
}
if (job.status !== 'succeeded') throw new Error(job.message)
const [{ url }] = job.images
const image = await fetch(url.startsWith('/') ? base + url : url)
await writeFile('${file}', new Uint8Array(await image.arrayBuffer()))
`
}
