import { toFailure } from './failure'
import type { Service } from './service'
import type { Job } from './types'

const PAUSES_MS = [250, 400, 600, 1000, 1000, 2000]
const LONGEST_PAUSE_MS = 4000
const TRIES = 6

export function hasEnded(job: Job): boolean {
  return job.status !== 'queued' && job.status !== 'running'
}

/** Tells every change of a job until it has ended: by events where the service has them, else by asking. */
export async function follow(service: Service, job: Job, onChange: (job: Job) => void, signal: AbortSignal): Promise<Job> {
  if (hasEnded(job)) return job
  const last = await listen(service.eventsUrl(job.id), onChange, signal)
  return last && hasEnded(last) ? last : poll(service, job.id, onChange, signal)
}

/** The last job that the events told; null where there are none. */
function listen(url: string | null, onChange: (job: Job) => void, signal: AbortSignal): Promise<Job | null> {
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
    source.onmessage = ({ data }) => {
      last = JSON.parse(data) as Job
      onChange(last)
      if (hasEnded(last)) stop()
    }
  })
}

async function poll(service: Service, id: string, onChange: (job: Job) => void, signal: AbortSignal): Promise<Job> {
  for (let look = 0, missed = 0; ; look++) {
    signal.throwIfAborted()
    try {
      const job = await service.job(id, signal)
      missed = 0
      onChange(job)
      if (hasEnded(job)) return job
    } catch (error) {
      if (signal.aborted || ++missed >= TRIES || !passes(error)) throw error
    }
    await pause(PAUSES_MS[look] ?? LONGEST_PAUSE_MS)
  }
}

/** The job goes on while the line is down or the service is busy. */
function passes(error: unknown): boolean {
  return ['network', 'busy', 'service'].includes(toFailure(error).kind)
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
