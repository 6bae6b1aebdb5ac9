import { toFailure } from './failure'
import type { Service } from './service'
import type { Job } from './types'

const POLL_DELAYS_MS = [250, 400, 600, 1000, 1000, 2000]
const MAX_POLL_DELAY_MS = 4000
const MAX_CONSECUTIVE_FAILURES = 6

export function hasEnded(job: Job): boolean {
  return job.status !== 'queued' && job.status !== 'running'
}

/** Report every change of a job until it ends. Uses server-sent events, or polling if the service has none. */
export async function followJob(
  service: Service,
  job: Job,
  onChange: (job: Job) => void,
  signal: AbortSignal,
): Promise<Job> {
  if (hasEnded(job)) return job
  const last = await readEvents(service.eventsUrl(job.id), onChange, signal)
  return last && hasEnded(last) ? last : poll(service, job.id, onChange, signal)
}

/** Return the last job of the event stream, or null if there was none. */
function readEvents(url: string | null, onChange: (job: Job) => void, signal: AbortSignal): Promise<Job | null> {
  if (!url) return Promise.resolve(null)
  return new Promise((resolve) => {
    const source = new EventSource(url)
    let last: Job | null = null
    const stop = () => {
      source.close()
      resolve(last)
    }
    signal.addEventListener('abort', stop)
    source.onerror = stop
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const job: unknown = JSON.parse(data)
      if (!isJob(job)) return
      last = job
      onChange(job)
      if (hasEnded(job)) stop()
    }
  })
}

function isJob(value: unknown): value is Job {
  return typeof value === 'object' && value !== null && 'id' in value && 'status' in value
}

async function poll(service: Service, id: string, onChange: (job: Job) => void, signal: AbortSignal): Promise<Job> {
  let failures = 0
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    try {
      const job = await service.job(id, signal)
      failures = 0
      onChange(job)
      if (hasEnded(job)) return job
    } catch (error) {
      if (signal.aborted || ++failures >= MAX_CONSECUTIVE_FAILURES || !isTemporary(error)) throw error
    }
    await delay(POLL_DELAYS_MS[attempt] ?? MAX_POLL_DELAY_MS, signal)
  }
}

/** The job continues while the connection is down or the service is busy. */
function isTemporary(error: unknown): boolean {
  return ['network', 'busy', 'service'].includes(toFailure(error).kind)
}

/** Wait, until the end or until the signal is aborted. */
function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
