// @vitest-environment node
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Parameters } from '@/api/types'
import { renderSnippet, SNIPPET_LANGUAGES, type SnippetLanguage } from '@/stage/snippets/codeSnippets'
import { PARAMETERS } from './data'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const PYTHON = process.env.PYTHON ?? path('../../.venv/bin/python')
const COMMANDS: Record<SnippetLanguage, string> = { curl: 'bash', python: PYTHON, javascript: 'node', cli: 'bash' }
const FAILED = { id: 'f'.repeat(44), status: 'failed', message: 'no', images: [], error: { code: 'x', message: 'no' } }

/** Run a snippet beside files of images, and return the request that it sends. */
async function sentBy(language: SnippetLanguage, parameters: Parameters, files: string[]): Promise<unknown> {
  let sent: unknown
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.method === 'POST') sent = JSON.parse(Buffer.concat(chunks).toString())
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(FAILED))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const folder = await mkdtemp(join(tmpdir(), 'easel-'))
  for (const file of files) await copyFile(path(`fixtures/${FILES[file] ?? ''}`), join(folder, file))
  const name = language === 'javascript' ? 'generate.mjs' : 'generate.txt'
  await writeFile(join(folder, name), renderSnippet(language, `http://127.0.0.1:${port}`, parameters, false))
  const env = { ...process.env, no_proxy: '127.0.0.1', PATH: `${dirname(PYTHON)}:${process.env.PATH ?? ''}` }
  const errors = await new Promise<string>((resolve) =>
    execFile(COMMANDS[language], [name], { cwd: folder, env }, (_error, _output, stderr) => {
      resolve(stderr)
    }),
  )
  server.close()
  expect(sent, errors).toBeDefined()
  return sent
}

/** Names of files to those of fixtures. */
const FILES: Record<string, string> = {
  'start.png': 'bare.png',
  'mask.png': 'chinese.png',
  'picture-1.png': 'bare.png',
  'picture-2.png': 'chinese.png',
  'control-1.png': 'chinese.png',
  'control-2.png': 'bare.png',
}
const base64 = async (file: string) => (await readFile(path(`fixtures/${FILES[file] ?? ''}`))).toString('base64')

test.each(SNIPPET_LANGUAGES)(
  'the %s snippet sends the pictures for the prompt from files',
  async (language) => {
    const names = ['picture-1.png', 'picture-2.png']
    // A prompt that reads like a file's name is no file.
    const parameters = { ...PARAMETERS, negative_prompt: 'picture-1.png', images: ['a'.repeat(64), 'b'.repeat(64)] }
    const images = await Promise.all(names.map(base64))
    expect(await sentBy(language, parameters, names)).toMatchObject({ ...parameters, ...prompt(language), images })
  },
  60_000,
)

test.each(SNIPPET_LANGUAGES)(
  'the %s snippet sends the pictures of controls beside the mask',
  async (language) => {
    const names = ['start.png', 'mask.png', 'control-1.png', 'control-2.png']
    const [init_image, mask_image, ...maps] = await Promise.all(names.map(base64))
    const control = [
      { id: 'canny', scale: 0.8, start: 0, end: 0.5, preprocess: 'canny' as const },
      { id: 'pose', scale: 1, start: 0.25, end: 1 },
    ]
    const loras = [{ id: 'flat', scale: -0.5 }]
    const parameters = { ...PARAMETERS, negative_prompt: '-a', strength: 0.5, mask_blur: 4, loras, control }
    expect(await sentBy(language, { ...parameters, mask_mode: 'white' }, names)).toMatchObject({
      ...{ ...parameters, ...prompt(language), init_image, mask_image },
      control: control.map((item, i) => ({ ...item, image: maps[i] })),
    })
  },
  60_000,
)

/** The command-line client sends a list of prompts. */
const prompt = (language: SnippetLanguage) => (language === 'cli' ? { prompt: [PARAMETERS.prompt] } : {})
