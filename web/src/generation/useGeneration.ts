import { useLocalStorage } from '@vueuse/core'
import { computed, ref, shallowRef, type Ref } from 'vue'
import { jobFailure, toFailure, type Failure } from '@/api/failure'
import { followJob, hasEnded } from '@/api/followJob'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'

export type Phase = 'idle' | 'sending' | 'waiting' | 'generating' | 'fetching'

/** What the page keeps of an unfinished job over a reload. */
interface StoredJob {
  id: string
  startedAt: number
  /** The user cancelled it, but it could not be stopped. */
  unwanted?: boolean
}

/** A job that this page follows, or will follow when those before it have ended. */
export interface PendingJob extends StoredJob {
  job: Job
  controller: AbortController
  /** What was sent, if this page sent it. */
  request?: GenerationRequest
}

interface Hooks {
  onAccepted: (job: Job, request: GenerationRequest) => void
  /** `unwanted`: the images arrived although the user had cancelled the job. */
  onImages: (job: Job, files: Blob[], unwanted: boolean) => Promise<void>
  /** The job had started and goes on. */
  onCannotStop: () => void
  /** Whether the service can stop a running job. */
  canStop: () => boolean
}

/**
 * The queue of jobs: submit them, follow them one after the other, and fetch their images. Unfinished jobs continue
 * after a reload. Responses that arrive after a cancel are ignored.
 */
export function useGeneration(service: Ref<Service>, { onAccepted, onImages, onCannotStop, canStop }: Hooks) {
  const stored = useLocalStorage<StoredJob[]>('easel.jobs', [])
  const pending = shallowRef<PendingJob[]>([])
  const current = shallowRef<{ job: Job; phase: Phase; startedAt: number; unwanted: boolean } | null>(null)
  const sending = ref(false)
  const failure = shallowRef<Failure | null>(null)
  let sendController = new AbortController()
  /** The request that is sent, and the end of sending it. */
  let submission = { text: '', ended: Promise.resolve() }
  let following: Promise<void> | null = null
  let repeat = () => Promise.resolve()

  const phase = computed<Phase>(() => current.value?.phase ?? (sending.value ? 'sending' : 'idle'))
  const job = computed(() => current.value?.job ?? null)
  /** The jobs that wait behind the current one. */
  const queue = computed(() => pending.value.filter(({ id }) => id !== current.value?.job.id))

  /** Submit a job. A request that equals the one being sent is a double click; another one follows it. */
  async function start(request: GenerationRequest, idempotencyKey = newKey()) {
    const text = JSON.stringify(request)
    if (sending.value && submission.text === text) return
    const send = () => submit(request, idempotencyKey)
    submission = { text, ended: sending.value ? submission.ended.then(send) : send() }
    await submission.ended
    await follow()
  }

  async function submit(request: GenerationRequest, idempotencyKey: string) {
    failure.value = null
    sending.value = true
    sendController = new AbortController()
    const { signal } = sendController
    try {
      const accepted = await service.value.submit(request, idempotencyKey)
      const entry = add(accepted, { id: accepted.id, startedAt: Date.now() })
      entry.request = request
      onAccepted(accepted, request)
      if (signal.aborted) return await cancelPending(entry)
    } catch (error) {
      if (signal.aborted) return
      failure.value = toFailure(error)
      // After a network error the key stays the same, since the job may exist.
      const isUncertain = failure.value.kind === 'network'
      repeat = () => start(request, isUncertain ? idempotencyKey : undefined)
    }
    sending.value = false
  }

  /** Repeat what failed: a submission, or following the jobs. */
  async function retry() {
    failure.value = null
    await repeat()
  }

  /** Go on with the jobs of before the reload, in their order. */
  async function resume() {
    const entries = stored.value
    const jobs = await Promise.all(entries.map(({ id }) => loadJob(id)))
    for (const [i, entry] of entries.entries()) {
      const loaded = jobs[i]
      if (loaded && !pending.value.some(({ id }) => id === entry.id)) add(loaded, entry)
    }
    await follow()
  }

  /** Return the job, or null if it is gone or cannot be reached now. */
  async function loadJob(id: string): Promise<Job | null> {
    try {
      return await service.value.job(id)
    } catch (error) {
      const problem = toFailure(error)
      if (problem.code === 'not_found') forget(id)
      else {
        failure.value = problem
        repeat = resume
      }
      return null
    }
  }

  /** Cancel a job of the queue; without an id, the current job or the submission. */
  async function cancel(id?: string) {
    const wanted = id ?? current.value?.job.id
    const entry = pending.value.find((candidate) => candidate.id === wanted)
    if (entry) await cancelPending(entry)
    else if (sending.value) {
      sendController.abort()
      sending.value = false
      submission = { text: '', ended: Promise.resolve() }
    }
  }

  async function cancelPending(entry: PendingJob) {
    if (!canStop() && entry.job.status === 'running') return keepUnwanted(entry)
    entry.controller.abort()
    remove(entry)
    try {
      await service.value.cancel(entry.id)
    } catch (error) {
      if (['job_running', 'job_finished'].includes(toFailure(error).code)) keepUnwanted(entry)
    }
  }

  /** Go on following a job that cannot be stopped. */
  function keepUnwanted(entry: PendingJob) {
    if (entry.unwanted) return
    entry.controller.abort()
    remove(entry)
    add(entry.job, { id: entry.id, startedAt: entry.startedAt, unwanted: true }, true)
    onCannotStop()
    void follow()
  }

  function add(accepted: Job, kept: StoredJob, first = false): PendingJob {
    const entry = { ...kept, job: accepted, controller: new AbortController() }
    const others = pending.value.filter(({ id }) => id !== entry.id)
    pending.value = first ? [entry, ...others] : [...others, entry]
    stored.value = [...stored.value.filter(({ id }) => id !== kept.id), kept]
    return entry
  }

  function remove({ id }: PendingJob) {
    pending.value = pending.value.filter((entry) => entry.id !== id)
    if (current.value?.job.id === id) current.value = null
    forget(id)
  }

  function forget(id: string) {
    stored.value = stored.value.filter((entry) => entry.id !== id)
  }

  /** Follow all jobs, the first first. Called again while it runs, it returns the same promise. */
  function follow(): Promise<void> {
    following ??= followAll().finally(() => (following = null))
    return following
  }

  async function followAll() {
    let isWaiting = false
    for (let entry = pending.value[0]; entry; entry = pending.value[0]) {
      if (isWaiting) entry.startedAt = Date.now()
      isWaiting = true
      const problem = await followPending(entry)
      if (problem) fail(problem, entry.request)
      if (problem && isOutside(problem)) {
        repeat = follow
        current.value = null
        return
      }
    }
  }

  /** Show why a job failed. `request`: what sends it again. */
  function fail(problem: Failure, request?: GenerationRequest) {
    failure.value = problem
    if (request) repeat = () => start(request)
  }

  async function followPending(entry: PendingJob): Promise<Failure | null> {
    const { signal } = entry.controller
    const show = (changed: Job, shown: Phase = changed.status === 'running' ? 'generating' : 'waiting') => {
      if (signal.aborted) return
      entry.job = changed
      const { startedAt, unwanted = false } = entry
      current.value = { job: changed, phase: shown, startedAt, unwanted }
    }
    try {
      if (!hasEnded(entry.job)) show(entry.job)
      const last = await followJob(service.value, entry.job, show, signal)
      signal.throwIfAborted()
      if (last.status === 'succeeded') {
        show(last, 'fetching')
        const files = await Promise.all(last.images.map(({ url }) => service.value.image(url, signal)))
        signal.throwIfAborted()
        await onImages(last, files, entry.unwanted ?? false)
      }
      remove(entry)
      return last.status === 'failed' && last.error ? jobFailure(last.error, last.id) : null
    } catch (error) {
      if (signal.aborted) return null
      const problem = toFailure(error)
      if (!isOutside(problem)) remove(entry)
      return problem
    }
  }

  /** Ids of the jobs that have not ended, also of those that other tabs follow. */
  const unfinished = () => stored.value.map(({ id }) => id)

  const startedAt = computed(() => current.value?.startedAt ?? Date.now())
  const unwanted = computed(() => current.value?.unwanted ?? false)
  return { phase, job, queue, unwanted, sending, failure, startedAt, start, retry, resume, unfinished, cancel }
}

/** Whether the failure is not the job's: it can be followed again. */
function isOutside({ kind }: Failure): boolean {
  return kind === 'network' || kind === 'auth'
}

/** A random idempotency key. crypto.randomUUID is missing on pages served over plain HTTP by another machine. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
