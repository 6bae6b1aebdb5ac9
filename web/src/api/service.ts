import axios, { isAxiosError, type AxiosInstance } from 'axios'
import type { Session } from '@/sign-in/config'
import { SignedOutError } from './failure'
import { readModel, type SentModel } from './readModel'
import type { GenerationRequest, Health, Job, Model } from './types'

/** Address and key of the API. An empty url means the folder of the page, which a reverse proxy may move. */
export interface Connection {
  url: string
  key: string
}

export interface Service {
  /** The deployed models; the first is the default. At least one. */
  models: () => Promise<Model[]>
  health: () => Promise<Health>
  /** Create a job. The same idempotency key with the same request returns the same job. */
  submit: (request: GenerationRequest, idempotencyKey: string) => Promise<Job>
  job: (id: string, signal?: AbortSignal) => Promise<Job>
  cancel: (id: string) => Promise<Job>
  image: (url: string, signal?: AbortSignal) => Promise<Blob>
  /** URL of the job's server-sent events. Null with an API key or a token: EventSource sends no headers. */
  eventsUrl: (id: string) => string | null
}

const TIMEOUT_MS = 30_000

export function baseUrl({ url }: Connection, page = location.href): string {
  return (url.trim() || (import.meta.env.DEV ? '/api' : folderOf(page))).replace(/\/+$/, '')
}

/** Return the address of a page without its file name, query and fragment. */
export function folderOf(page: string): string {
  return new URL('.', page).href
}

export function createService(connection: Connection, session: Session | null = null): Service {
  const base = baseUrl(connection)
  const key = connection.key.trim()
  const http = axios.create({
    baseURL: base,
    timeout: TIMEOUT_MS,
    headers: key ? { 'x-api-key': key } : {},
  })
  if (session) useSession(http, session)
  const absolute = (link: string) => (/^https?:/.test(link) ? link : base + link)

  return {
    models: async () => {
      const { data } = await http.get<{ models: SentModel[] }>('/models')
      if (!data.models.length) throw new Error('GET /models returned no model')
      return data.models.map(readModel)
    },
    health: async () => (await http.get<Health>('/health')).data,
    submit: async (request, idempotencyKey) =>
      (await http.post<Job>('/jobs', request, { headers: { 'idempotency-key': idempotencyKey } })).data,
    job: async (id, signal) => (await http.get<Job>(`/jobs/${id}`, { signal })).data,
    cancel: async (id) => (await http.delete<Job>(`/jobs/${id}`)).data,
    // Without the API key: the link is signed, and S3 rejects a signed request with another credential.
    image: async (url, signal) =>
      (await axios.get<Blob>(absolute(url), { responseType: 'blob', timeout: TIMEOUT_MS, signal })).data,
    eventsUrl: (id) => (key || session ? null : `${base}/jobs/${id}/events`),
  }
}

/** Send the session's token with each request. */
function useSession(http: AxiosInstance, session: Session) {
  http.interceptors.request.use(async (request) => {
    const token = await session.token()
    if (!token) throw new SignedOutError()
    request.headers.set('authorization', `Bearer ${token}`)
    return request
  })
  http.interceptors.response.use(null, (error: unknown) => {
    if (!isAxiosError(error) || error.response?.status !== 401) throw error
    session.end()
    throw new SignedOutError()
  })
}
