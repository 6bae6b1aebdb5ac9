import type { InjectionKey, Ref } from 'vue'

/** What a deploy with sign_in writes into index.html. Without it, nobody signs in, and the rest of the folder is not loaded. */
export interface SignInConfig {
  /** Address of the hosted page. */
  url: string
  /** Id of the page as a client. */
  client: string
  /** Scopes, separated by spaces. */
  scope: string
}

/** Who is signed in on this tab. */
export interface Session {
  /** Address or name; empty if nobody is signed in. */
  user: Ref<string>
  /** Whether the last attempt to sign in failed. */
  failed: Ref<boolean>
  /** An access token, renewed shortly before its end; empty if nobody is signed in. */
  token: () => Promise<string>
  /** Go to the hosted page. What was typed stays in this browser. */
  signIn: () => Promise<void>
  /** Forget the tokens, here and at the hosted page. */
  signOut: () => void
  /** Forget tokens that the API refuses. */
  end: () => void
}

export const sessionKey: InjectionKey<Session | null> = Symbol('session')

export function readSignInConfig(page: Document = document): SignInConfig | null {
  const content = page.querySelector<HTMLMetaElement>('meta[name="easel-sign-in"]')?.content
  const value: unknown = content ? JSON.parse(content) : null
  return isConfig(value) ? value : null
}

function isConfig(value: unknown): value is SignInConfig {
  return typeof value === 'object' && value !== null && 'url' in value && 'client' in value && 'scope' in value
}
