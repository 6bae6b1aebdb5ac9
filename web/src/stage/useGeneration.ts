import { useLocalStorage } from '@vueuse/core'
import { readonly, ref, shallowRef, type Ref } from 'vue'
import { jobFailure, toFailure, type Failure } from '@/api/failure'
import { followJob } from '@/api/followJob'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'

export type Phase = 'idle' | 'sending' | 'waiting' | 'generating' | 'fetching'

interface Hooks {
  onImages: (job: Job, files: Blob[]) => Promise<void>
  /** The job had started, so it cannot be cancelled. */
  onCancelRejected: () => void
}

/**
 * One generation at a time: submit a job, follow it to its end and fetch its images.
 * An unfinished job continues after a reload. Responses that arrive after a cancel are ignored.
 */
export function useGeneration(service: Ref<Service>, { onImages, onCancelRejected }: Hooks) {
  const phase = ref<Phase>('idle')
  const job = shallowRef<Job | null>(null)
  const failure = shallowRef<Failure | null>(null)
  const startedAt = ref(0)
  const unfinishedId = useLocalStorage('easel.job', '')
  let controller = new AbortController()
  let lastRequest: { request: GenerationRequest; idempotencyKey: string } | null = null

  async function start(request: GenerationRequest, idempotencyKey = newKey()) {
    if (phase.value !== 'idle') return
    lastRequest = { request, idempotencyKey }
    await run(async (signal) => {
      const accepted = await service.value.submit(request, idempotencyKey)
      if (signal.aborted) return cancelJob(accepted.id)
      unfinishedId.value = accepted.id
      await follow(accepted, signal)
    })
  }

  /** Send the last request again. After a network error the key stays the same, since the job may exist. */
  async function retry() {
    if (!lastRequest) return
    const { request, idempotencyKey } = lastRequest
    await start(request, failure.value?.kind === 'network' ? idempotencyKey : undefined)
  }

  async function resume() {
    if (!unfinishedId.value || phase.value !== 'idle') return
    await run(async (signal) => follow(await service.value.job(unfinishedId.value, signal), signal))
    if (failure.value?.code === 'not_found') failure.value = null
  }

  function cancel() {
    if (phase.value === 'idle') return
    controller.abort()
    const id = job.value?.id
    reset()
    if (id) void cancelJob(id)
  }

  async function run(work: (signal: AbortSignal) => Promise<void>) {
    controller = new AbortController()
    const { signal } = controller
    phase.value = 'sending'
    startedAt.value = Date.now()
    failure.value = job.value = null
    try {
      await work(signal)
    } catch (error) {
      if (!signal.aborted) failure.value = toFailure(error)
    }
    if (!signal.aborted) reset()
  }

  async function follow(accepted: Job, signal: AbortSignal) {
    const show = (current: Job) => {
      if (signal.aborted) return
      job.value = current
      phase.value = current.status === 'running' ? 'generating' : 'waiting'
    }
    show(accepted)
    const last = await followJob(service.value, accepted, show, signal)
    signal.throwIfAborted()
    if (last.error && last.status === 'failed') failure.value = jobFailure(last.error, last.id)
    if (last.status === 'succeeded') await fetchImages(last, signal)
  }

  async function fetchImages(finished: Job, signal: AbortSignal) {
    phase.value = 'fetching'
    const files = await Promise.all(finished.images.map(({ url }) => service.value.image(url, signal)))
    signal.throwIfAborted()
    await onImages(finished, files)
  }

  async function cancelJob(id: string) {
    await service.value.cancel(id).catch((error: unknown) => {
      if (toFailure(error).code === 'job_running') onCancelRejected()
    })
  }

  function reset() {
    phase.value = 'idle'
    unfinishedId.value = ''
    job.value = null
  }

  return { phase: readonly(phase), job, failure, startedAt: readonly(startedAt), start, retry, resume, cancel }
}

/** A random idempotency key. crypto.randomUUID is missing on pages served over plain HTTP by another machine. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
