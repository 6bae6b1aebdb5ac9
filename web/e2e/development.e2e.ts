import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EASEL, STAGE_IMAGE, generate, openPage, required } from './browser'

const WEB = fileURLToPath(new URL('..', import.meta.url))

let vite: ChildProcessByStdio<null, Readable, null>
let address = ''

beforeAll(async () => {
  vite = spawn('npm', ['run', 'dev', '--', '--host', '127.0.0.1', '--port', '5183'], {
    cwd: WEB,
    detached: true,
    env: { ...process.env, EASEL_TARGET: EASEL, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  while (!address) {
    const [line] = await once(vite.stdout, 'data')
    address = /http:\/\/127\.0\.0\.1:\d+/.exec(String(line))?.[0] ?? ''
  }
})

afterAll(async () => {
  process.kill(-required(vite.pid))
  await once(vite, 'exit')
})

test('npm run dev serves the page on its own port and forwards /api to Easel', async () => {
  const page = await openPage({ at: address })
  const posts: string[] = []
  page.on('request', (request) => {
    if (request.method() === 'POST') posts.push(request.url())
  })
  await generate(page)
  await page.locator(STAGE_IMAGE).waitFor()
  expect(posts).toEqual([`${address}/api/jobs`])
})
