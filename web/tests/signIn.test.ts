import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createService } from '@/api/service'
import { toFailure } from '@/api/failure'
import { readSignInConfig } from '@/sign-in/config'
import { challengeOf, claimsOf } from '@/sign-in/pkce'
import { openSession } from '@/sign-in/session'

const CONFIG = {
  url: 'https://easel-1.auth.us-east-1.amazoncognito.com',
  client: 'page',
  scope: 'openid easel/generate',
}
const ATTEMPT = { state: 's', nonce: 'n', verifier: 'v', hash: '#prompt=a' }
const idToken = (claims: object) => `x.${btoa(JSON.stringify(claims))}.x`

type Answer = () => Response | Promise<Response>
let requests: { url: string; body: URLSearchParams }[]
let opened: URL[]

function answerWith(answer: Answer) {
  vi.stubGlobal('fetch', (url: string, { body }: { body: URLSearchParams }) => {
    requests.push({ url, body })
    return Promise.resolve(answer())
  })
}

const tokens = (more: object = {}) =>
  Response.json({
    access_token: 'access-1',
    refresh_token: 'refresh',
    id_token: idToken({ nonce: 'n', email: 'alice@example.com' }),
    expires_in: 900,
    ...more,
  })

function comeBack(query: string, attempt: object | null = ATTEMPT) {
  if (attempt) sessionStorage.setItem('easel.signIn', JSON.stringify(attempt))
  history.replaceState(null, '', `/?${query}`)
  return openSession(CONFIG)
}

beforeEach(() => {
  requests = []
  sessionStorage.clear()
  vi.useFakeTimers({ toFake: ['Date'] })
  opened = []
  vi.spyOn(location, 'assign').mockImplementation((url) => void opened.push(new URL(url)))
  answerWith(() => tokens())
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

test('the challenge is that of RFC 7636, appendix B', async () => {
  expect(await challengeOf('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')).toBe(
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  )
})

test('claims may have any characters', () => {
  const part = btoa(String.fromCharCode(...new TextEncoder().encode('{"email":"李@例.cn"}')))
  expect(claimsOf(`x.${part.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}.x`).email).toBe('李@例.cn')
})

test('without the configuration nobody signs in', () => {
  const page = new DOMParser().parseFromString('<head></head>', 'text/html')
  expect(readSignInConfig(page)).toBeNull()
  page.head.innerHTML = `<meta name="easel-sign-in" content="${JSON.stringify(CONFIG).replaceAll('"', '&quot;')}">`
  expect(readSignInConfig(page)).toEqual(CONFIG)
})

test('a sign-in begins with state, nonce and a challenge, and keeps the verifier in this tab', async () => {
  const session = await openSession(CONFIG)
  await session.signIn()
  const url = opened[0] ?? new URL('about:blank')
  const attempt = JSON.parse(sessionStorage.getItem('easel.signIn') ?? '')
  expect(url.origin + url.pathname).toBe(`${CONFIG.url}/oauth2/authorize`)
  expect(Object.fromEntries(url.searchParams)).toMatchObject({
    response_type: 'code',
    client_id: 'page',
    state: attempt.state,
    nonce: attempt.nonce,
    code_challenge: await challengeOf(attempt.verifier),
    code_challenge_method: 'S256',
  })
  expect(url.href).not.toContain(attempt.verifier)
  expect(new Set([attempt.state, attempt.nonce, attempt.verifier]).size).toBe(3)
})

test('the code is exchanged with the verifier, and the address has neither code nor state afterwards', async () => {
  const session = await comeBack('code=c&state=s')
  expect(session.user.value).toBe('alice@example.com')
  expect(Object.fromEntries(requests[0]?.body ?? [])).toEqual({
    client_id: 'page',
    grant_type: 'authorization_code',
    code: 'c',
    code_verifier: 'v',
    redirect_uri: `${location.origin}/`,
  })
  expect(location.search + location.hash).toBe('#prompt=a')
  expect(await session.token()).toBe('access-1')
  expect(sessionStorage.getItem('easel.signIn')).toBeNull()
  expect(JSON.stringify(localStorage)).not.toContain('access-1')
})

test.each([
  ['another state', 'code=c&state=other', ATTEMPT],
  ['no attempt of this tab', 'code=c&state=s', null],
  ['an attempt that cannot be read', 'code=c&state=s', { state: 's' }],
  ['an error', 'error=access_denied&state=s', ATTEMPT],
])('%s signs nobody in and sends nothing', async (_, query, attempt) => {
  const session = await comeBack(query, attempt)
  expect([session.user.value, session.failed.value, await session.token()]).toEqual(['', true, ''])
  expect(requests).toEqual([])
  expect(location.search).toBe('')
})

test.each([
  ['another nonce', () => tokens({ id_token: idToken({ nonce: 'x', email: 'bob@example.com' }) })],
  ['no id token', () => tokens({ id_token: undefined })],
  ['a broken id token', () => tokens({ id_token: 'x' })],
  ['a refusal', () => Response.json({ error: 'invalid_grant' }, { status: 400 })],
  ['no response', () => Promise.reject(new TypeError('network'))],
])('%s of the token endpoint signs nobody in', async (_, answer) => {
  answerWith(answer)
  const session = await comeBack('code=c&state=s')
  expect([session.user.value, session.failed.value]).toEqual(['', true])
})

test('other queries of the page are left alone', async () => {
  const session = await comeBack('code=c')
  expect([session.failed.value, location.search, requests.length]).toEqual([false, '?code=c', 0])
})

test('requests at once renew a token once, a minute before its end, and a reload keeps it', async () => {
  const session = await comeBack('code=c&state=s')
  answerWith(() => Response.json({ access_token: 'access-2', expires_in: 900 }))
  vi.advanceTimersByTime(839_000)
  expect(await session.token()).toBe('access-1')
  vi.advanceTimersByTime(1000)
  expect(await Promise.all([session.token(), session.token()])).toEqual(['access-2', 'access-2'])
  expect(requests.map(({ body }) => body.get('grant_type'))).toEqual(['authorization_code', 'refresh_token'])
  const reloaded = await openSession(CONFIG)
  expect([await reloaded.token(), reloaded.user.value]).toEqual(['access-2', 'alice@example.com'])
})

test('a refused renewal ends the session, an unreachable one does not', async () => {
  const session = await comeBack('code=c&state=s')
  vi.advanceTimersByTime(900_000)
  answerWith(() => new Response('', { status: 503 }))
  await expect(session.token()).rejects.toThrow('503')
  expect(session.user.value).toBe('alice@example.com')
  answerWith(() => Response.json({ error: 'invalid_grant' }, { status: 400 }))
  expect(await session.token()).toBe('')
  expect([session.user.value, sessionStorage.getItem('easel.session')]).toEqual(['', null])
})

test('a sign-out revokes the refresh token and ends at the hosted page', async () => {
  const session = await comeBack('code=c&state=s')
  session.signOut()
  expect(requests[1]?.url).toBe(`${CONFIG.url}/oauth2/revoke`)
  expect(requests[1]?.body.get('token')).toBe('refresh')
  expect(sessionStorage.getItem('easel.session')).toBeNull()
  expect([opened[0]?.pathname, opened[0]?.searchParams.get('logout_uri')]).toEqual(['/logout', `${location.origin}/`])
})

test('without a token no request is sent, and the failure asks to sign in', async () => {
  const service = createService({ url: 'http://127.0.0.1:1', key: '' }, await openSession(CONFIG))
  const failure = await service.models().catch(toFailure)
  expect(failure).toMatchObject({ kind: 'auth', code: 'signed_out' })
  expect(service.eventsUrl('1')).toBeNull()
})

test('without storage a session lasts until a reload', async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => undefined)
  const blocked = () => {
    throw new DOMException('blocked', 'SecurityError')
  }
  const storage = { getItem: blocked, setItem: blocked, removeItem: blocked }
  const signedIn = await comeBack('code=c&state=s')
  vi.stubGlobal('sessionStorage', storage)
  vi.advanceTimersByTime(900_000)
  answerWith(() => Response.json({ access_token: 'access-2', expires_in: 900 }))
  expect(await signedIn.token()).toBe('access-2')
  signedIn.end()
  expect(signedIn.user.value).toBe('')

  history.replaceState(null, '', '/?code=c&state=s')
  const reloaded = await openSession(CONFIG)
  expect([reloaded.user.value, reloaded.failed.value]).toEqual(['', true])
  await reloaded.signIn()
  expect(opened).toHaveLength(1)
})
