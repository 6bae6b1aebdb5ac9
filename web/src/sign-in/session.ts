import { ref } from 'vue'
import { folderOf } from '@/api/service'
import type { Session, SignInConfig } from './config'
import { challengeOf, claimsOf, randomText } from './pkce'

interface Tokens {
  access: string
  refresh: string
  user: string
  /** Milliseconds since 1970. */
  endsAt: number
}

/** What the page keeps while the user is at the hosted page. */
interface Attempt {
  state: string
  nonce: string
  verifier: string
  hash: string
}

/** Only this tab can read it, and it goes with the tab. */
const TOKENS = 'easel.session'
const ATTEMPT = 'easel.signIn'
const RENEW_MS = 60_000
const TIMEOUT_MS = 30_000

/** Return the session of this tab, after completing a sign-in from which the hosted page has just sent the user back. */
export async function openSession(config: SignInConfig): Promise<Session> {
  const session = new TabSession(config)
  await session.complete()
  return session
}

class TabSession implements Session {
  readonly user = ref('')
  readonly failed = ref(false)
  private tokens: Tokens | null = null
  private renewal: Promise<string> | null = null
  private readonly redirect = folderOf(location.href)

  constructor(private readonly config: SignInConfig) {
    this.keep(stored(TOKENS, isTokens))
  }

  token = async (): Promise<string> => {
    if (!this.tokens) return ''
    if (Date.now() < this.tokens.endsAt - RENEW_MS) return this.tokens.access
    this.renewal ??= this.renew(this.tokens).finally(() => (this.renewal = null))
    return this.renewal
  }

  signIn = async () => {
    const attempt = { state: randomText(), nonce: randomText(), verifier: randomText(), hash: location.hash }
    store(ATTEMPT, attempt)
    const query = {
      response_type: 'code',
      client_id: this.config.client,
      redirect_uri: this.redirect,
      scope: this.config.scope,
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await challengeOf(attempt.verifier),
      code_challenge_method: 'S256',
      lang: document.documentElement.lang,
    }
    location.assign(this.address('oauth2/authorize', query))
  }

  signOut = () => {
    const token = this.tokens?.refresh
    this.end()
    // Without CORS the response cannot be read, and nothing depends on it.
    const body = new URLSearchParams({ client_id: this.config.client, token: token ?? '' })
    const options: RequestInit = { method: 'POST', mode: 'no-cors', keepalive: true, body }
    if (token) void fetch(this.address('oauth2/revoke'), options).catch(() => undefined)
    location.assign(this.address('logout', { client_id: this.config.client, logout_uri: this.redirect }))
  }

  end = () => this.keep(null)

  /** Exchange the code in the page's address, if it is the answer to this tab's own request. */
  async complete() {
    const query = new URLSearchParams(location.search)
    const code = query.get('code')
    if (!query.has('state') || !(code ?? query.get('error'))) return
    const attempt = stored(ATTEMPT, isAttempt)
    store(ATTEMPT, null)
    history.replaceState(history.state, '', location.pathname + (attempt?.hash ?? ''))
    this.failed.value = !code || !attempt || query.get('state') !== attempt.state || !(await this.redeem(code, attempt))
  }

  private async redeem(code: string, { verifier, nonce }: Attempt): Promise<boolean> {
    try {
      const fields = { code, code_verifier: verifier, redirect_uri: this.redirect }
      const tokens = toTokens(await this.request({ grant_type: 'authorization_code', ...fields }), nonce)
      if (tokens) this.keep(tokens)
      return tokens !== null
    } catch {
      return false
    }
  }

  /** Return a new access token; empty if the session is over. Throws if there is no response. */
  private async renew({ refresh, user }: Tokens): Promise<string> {
    const answer = await this.request({ grant_type: 'refresh_token', refresh_token: refresh })
    if (!this.tokens) return '' // signed out meanwhile
    const access = text(answer, 'access_token')
    this.keep(
      access ? { access, refresh: text(answer, 'refresh_token') || refresh, user, endsAt: endOf(answer) } : null,
    )
    return access
  }

  /** Send a request to the token endpoint. Returns an empty object if it is refused. */
  private async request(fields: Record<string, string>): Promise<object> {
    const body = new URLSearchParams({ client_id: this.config.client, ...fields })
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await fetch(this.address('oauth2/token'), { method: 'POST', body, signal, cache: 'no-store' })
    if (response.status >= 500 || response.status === 429) throw new TypeError(`status ${response.status}`)
    const answer: unknown = response.ok ? await response.json() : {}
    return typeof answer === 'object' && answer !== null ? answer : {}
  }

  private address(path: string, query: Record<string, string> = {}): string {
    const url = new URL(path, `${this.config.url}/`)
    url.search = new URLSearchParams(query).toString()
    return url.href
  }

  private keep(tokens: Tokens | null) {
    this.tokens = tokens
    this.user.value = tokens?.user ?? ''
    store(TOKENS, tokens)
  }
}

/** Return the tokens of an answer, or null if it has none for the request with this nonce. */
function toTokens(answer: object, nonce: string): Tokens | null {
  const [access, refresh, id] = ['access_token', 'refresh_token', 'id_token'].map((name) => text(answer, name))
  if (!access || !refresh || !id) return null
  const claims = claimsOf(id)
  if (claims.nonce !== nonce) return null
  const user = text(claims, 'email') || text(claims, 'cognito:username')
  return { access, refresh, user: user || '?', endsAt: endOf(answer) }
}

function endOf(answer: object): number {
  const seconds = member(answer, 'expires_in')
  return Date.now() + 1000 * (typeof seconds === 'number' ? seconds : 0)
}

function text(object: object, name: string): string {
  const value = member(object, name)
  return typeof value === 'string' ? value : ''
}

function member(object: object, name: string): unknown {
  return new Map<string, unknown>(Object.entries(object)).get(name)
}

/** Keep a value in this tab; null removes it. Where the browser's storage is full or blocked, a reload forgets it. */
function store(key: string, value: object | null) {
  try {
    if (value) sessionStorage.setItem(key, JSON.stringify(value))
    else sessionStorage.removeItem(key)
  } catch (error) {
    console.warn(error)
  }
}

function stored<T>(key: string, isValid: (value: unknown) => value is T): T | null {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(key) ?? 'null')
    return isValid(value) ? value : null
  } catch {
    return null
  }
}

const hasTexts = (value: unknown, ...names: string[]): value is object =>
  typeof value === 'object' && value !== null && names.every((name) => text(value, name) !== '')

const isTokens = (value: unknown): value is Tokens =>
  hasTexts(value, 'access', 'refresh', 'user') && 'endsAt' in value && typeof value.endsAt === 'number'

const isAttempt = (value: unknown): value is Attempt => hasTexts(value, 'state', 'nonce', 'verifier') && 'hash' in value
