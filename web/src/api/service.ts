import axios from 'axios'
import type { GenerationRequest, Job, Model } from './types'

/** Where the API is and who asks. An empty url is the page's own address. */
export interface Connection {
  url: string
  key: string
}

export interface Service {
  model(): Promise<Model>
  /** The same `once` with the same request gives the same job, however often it is sent. */
  submit(request: GenerationRequest, once: string): Promise<Job>
  job(id: string, signal?: AbortSignal): Promise<Job>
  cancel(id: string): Promise<Job>
  picture(url: string, signal?: AbortSignal): Promise<Blob>
  /** Where the job is told as server-sent events; null where they cannot be asked for. */
  eventsUrl(id: string): string | null
}

const OWN_ADDRESS = import.meta.env.DEV ? '/api' : ''
const TIMEOUT_MS = 30_000

export function baseUrl({ url }: Connection): string {
  return (url.trim() || OWN_ADDRESS).replace(/\/+$/, '')
}

export function createService(connection: Connection): Service {
  const base = baseUrl(connection)
  const key = connection.key.trim()
  const http = axios.create({
    baseURL: base,
    timeout: TIMEOUT_MS,
    headers: key ? { 'x-api-key': key } : {},
  })
  const absolute = (link: string) => (/^https?:/.test(link) ? link : base + link)

  return {
    model: async () => (await http.get<{ models: Model[] }>('/models')).data.models[0]!,
    submit: async (request, once) =>
      (await http.post<Job>('/jobs', request, { headers: { 'idempotency-key': once } })).data,
    job: async (id, signal) => (await http.get<Job>(`/jobs/${id}`, { signal })).data,
    cancel: async (id) => (await http.delete<Job>(`/jobs/${id}`)).data,
    // The link is signed: a key beside it is refused by S3.
    picture: async (url, signal) =>
      (await axios.get<Blob>(absolute(url), { responseType: 'blob', timeout: TIMEOUT_MS, signal })).data,
    eventsUrl: (id) => (key ? null : `${base}/jobs/${id}/events`),
  }
}
