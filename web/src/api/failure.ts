import { isAxiosError } from 'axios'
import type { JobError, Problem } from './types'

/** network: no response. auth: the API key. request: a field. busy: try later. service: an error of the service. */
export type FailureKind = 'network' | 'auth' | 'request' | 'busy' | 'service'

export interface Failure {
  kind: FailureKind
  code: string
  detail: string
  hint: string
  param: string | null
  requestId: string
}

/** Thrown in place of a request when nobody is signed in, or when the API no longer accepts the token. */
export class SignedOutError extends Error {}

export function failure(kind: FailureKind, code: string, param: string | null = null): Failure {
  return { kind, code, detail: '', hint: '', param, requestId: '' }
}

/** Return the name of the field that a failure is about, without the place in its list; empty if it has none. */
export function fieldOf(failure: Failure | null): string {
  return failure?.param?.replace(/\[.*/, '') ?? ''
}

/** Convert whatever a request threw to a `Failure`. */
export function toFailure(error: unknown): Failure {
  if (error instanceof SignedOutError) return failure('auth', 'signed_out')
  if (!isAxiosError<Partial<Problem> | string | null>(error)) {
    return { ...failure('service', 'page'), detail: String(error) }
  }
  if (!error.response) return failure('network', 'network')
  const { status, data, headers } = error.response
  const problem = typeof data === 'object' && data ? data : {}
  return {
    kind: kindOf(status),
    code: problem.code ?? codeOf(status),
    detail: problem.detail ?? '',
    hint: problem.hint ?? '',
    param: problem.invalid_params?.[0]?.name ?? null,
    requestId: problem.request_id ?? String(headers['x-request-id'] ?? ''),
  }
}

export function jobFailure({ code, status, message, hint, param }: JobError, id: string): Failure {
  return { kind: kindOf(status), code, detail: message, hint, param, requestId: id }
}

function kindOf(status: number): FailureKind {
  if (status === 401 || status === 403) return 'auth'
  if (status === 429) return 'busy'
  return status < 500 ? 'request' : 'service'
}

/** The code of a response without a problem document. A proxy or gateway in front of the API sends these. */
function codeOf(status: number): string {
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 404) return 'not_found'
  if (status === 429) return 'throttled'
  return status >= 502 && status <= 504 ? 'upstream_unavailable' : 'internal'
}
