import type { Parameters } from '@/api/types'
import { INPUT_KINDS, type InputKind } from '@/history/imageStore'
import { cliCommand } from './cliCommand'

export const SNIPPET_LANGUAGES = ['curl', 'python', 'javascript', 'cli'] as const

export type SnippetLanguage = (typeof SNIPPET_LANGUAGES)[number]

const KEY_HEADER = {
  curl: ` -H "x-api-key: $EASEL_KEY"`,
  python: `, "x-api-key": os.environ["EASEL_KEY"]`,
  javascript: `, 'x-api-key': process.env.EASEL_KEY`,
}

/** The name of the file by which the page downloads an input, and by which the code reads it. */
export function inputFile(kind: InputKind): string {
  const [name = '', index] = kind.split('-')
  const names: Record<string, string> = { init: 'start', mask: 'mask', edit: 'picture', control: 'control' }
  return `${names[name] ?? name}${index === undefined ? '' : `-${Number(index) + 1}`}.png`
}

/** The inputs of an image, in the order of the request's fields. */
export function inputKinds({ strength, mask_mode, images = [], control = [] }: Parameters): InputKind[] {
  const isUsed: Record<string, (index: number) => boolean> = {
    init: () => strength !== undefined,
    mask: () => mask_mode !== undefined,
    edit: (index) => index < images.length,
    control: (index) => index < control.length,
  }
  return INPUT_KINDS.filter((kind) => {
    const [name = '', index] = kind.split('-')
    return isUsed[name]?.(Number(index))
  })
}

/** A request, whose images are names of files. */
interface Request extends Omit<Parameters, 'control'> {
  model?: string
  init_image?: string
  mask_image?: string
  control?: (NonNullable<Parameters['control']>[number] & { image: string })[]
}

interface Snippet {
  url: string
  request: Request
  /** The header with the key, or an empty text. */
  key: string
  file: string
  /** Names of files, and where the request has them. */
  inputs: { path: (string | number)[]; name: string }[]
}

/**
 * Render code that generates the same image into a file. It submits a job and waits for it, as long as the model takes
 * to wake up. It reads the API key from EASEL_KEY, so the snippet has no key, and its images from files beside it.
 */
export function renderSnippet(
  language: SnippetLanguage,
  url: string,
  parameters: Parameters & { model?: string },
  needsKey: boolean,
): string {
  const kinds = inputKinds(parameters)
  const { control, images, ...others } = parameters
  const request: Request = {
    ...others,
    ...(kinds.includes('init') && { init_image: inputFile('init') }),
    ...(kinds.includes('mask') && { mask_image: inputFile('mask') }),
    ...(images && { images: images.map((_, i) => inputFile(`edit-${i}`)) }),
    ...(control && { control: control.map((item, i) => ({ ...item, image: inputFile(`control-${i}`) })) }),
  }
  if (language === 'cli') return cliCommand(url, request)
  const snippet = {
    url,
    request,
    key: needsKey ? KEY_HEADER[language] : '',
    file: `image.${parameters.output_format}`,
    inputs: kinds.map((kind) => ({ path: inputPath(kind), name: inputFile(kind) })),
  }
  return { curl, python, javascript }[language](snippet)
}

function inputPath(kind: InputKind): (string | number)[] {
  const [name = '', index] = kind.split('-')
  if (index === undefined) return [`${name}_image`]
  return name === 'edit' ? ['images', Number(index)] : ['control', Number(index), 'image']
}

/** Return the body in pieces: texts, and between them the files whose content belongs there. */
function pieces(request: Request, names: string[]): string[] {
  // A noncharacter, which no text has.
  const mark = '\ufdd0'
  const isInput = new Set(names)
  const fields = new Set(['init_image', 'mask_image', 'image'])
  const body = JSON.stringify(request, function (this: unknown, key: string, value: unknown) {
    const isFile = fields.has(key) || this === request.images
    return isFile && typeof value === 'string' && isInput.has(value) ? mark + value + mark : value
  })
  return body.split(mark)
}

function curl({ url, request, key, file, inputs }: Snippet): string {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const names = inputs.map(({ name }) => name)
  // An image is too long for an argument.
  const parts = pieces(request, names).map((piece, i) =>
    i % 2 ? `base64 < ${piece} | tr -d '\\n'` : `printf %s ${quote(piece)}`,
  )
  const json = parts.length > 1 ? `{ ${parts.join('; ')}; }` : parts.join('')
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

function python({ url, request, key, file, inputs }: Snippet): string {
  const at = (path: (string | number)[]) => path.map((step) => `[${JSON.stringify(step)}]`).join('')
  const images = inputs
    .map(({ path, name }) => `body${at(path)} = base64.b64encode(open("${name}", "rb").read()).decode()\n`)
    .join('')
  return `import ${images && 'base64, '}json${key && ', os'}, time
from urllib.request import Request, urlopen

base = "${url}"
headers = {"content-type": "application/json"${key}}
body = json.loads(r'''${JSON.stringify(request).replaceAll("'", '\\u0027')}''')
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

function javascript({ url, request, key, file, inputs }: Snippet): string {
  const at = (path: (string | number)[]) =>
    path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')
  const images = inputs.map(({ path, name }) => `body${at(path)} = await readFile('${name}', 'base64')\n`).join('')
  return `import { ${images && 'readFile, '}writeFile } from 'node:fs/promises'

const base = '${url}'
const headers = { 'content-type': 'application/json'${key} }
const body = ${JSON.stringify(request)}
${images}
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
