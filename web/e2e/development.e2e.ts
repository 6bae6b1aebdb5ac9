import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EASEL, generate, openPage } from './browser'

const WEB = fileURLToPath(new URL('..', import.meta.url))

let vite: ChildProcess
let address = ''

beforeAll(async () => {
  vite = spawn('npm', ['run', 'dev', '--', '--host', '127.0.0.1', '--port', '5183'], {
    cwd: WEB,
    detached: true,
    env: { ...process.env, EASEL_TARGET: EASEL, NO_COLOR: '1' },
  })
  while (!address) {
    const [line] = await once(vite.stdout!, 'data')
    address = /http:\/\/127\.0\.0\.1:\d+/.exec(String(line))?.[0] ?? ''
  }
})

afterAll(async () => {
  process.kill(-vite.pid!)
  await once(vite, 'exit')
})

test('npm run dev serves the page on its own port and reaches Easel behind /api', async () => {
  const page = await openPage({ at: address })
  const asked: string[] = []
  page.on('request', (request) => request.method() === 'POST' && asked.push(request.url()))
  await generate(page)
  await page.locator('.stage .picture img').waitFor()
  expect(asked).toEqual([`${address}/api/jobs`])
})
