import { useLocalStorage } from '@vueuse/core'
import { readonly, ref, shallowRef, type Ref } from 'vue'
import { jobFailure, toFailure, type Failure } from '@/api/failure'
import { follow } from '@/api/follow'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'

export type Phase = 'idle' | 'sending' | 'waiting' | 'drawing' | 'fetching'

interface Hooks {
  onPictures(job: Job, files: Blob[]): Promise<void>
  /** The job had started, so it cannot be stopped. */
  onTooLate(): void
}

/** One job at a time: sent once, followed to its end, picked up again after a reload. Late answers are dropped. */
export function useRun(service: Ref<Service>, { onPictures, onTooLate }: Hooks) {
  const phase = ref<Phase>('idle')
  const job = shallowRef<Job | null>(null)
  const runFailure = shallowRef<Failure | null>(null)
  const since = ref(0)
  const unfinished = useLocalStorage('easel.job', '')
  let turn = new AbortController()
  let sent: { request: GenerationRequest; once: string } | null = null

  async function start(request: GenerationRequest, once = newKey()) {
    if (phase.value !== 'idle') return
    sent = { request, once }
    await take(async (signal) => {
      const accepted = await service.value.submit(request, once)
      if (signal.aborted) return withdraw(accepted.id)
      unfinished.value = accepted.id
      await see(accepted, signal)
    })
  }

  /** Sends the last request again; where nobody is sure that it arrived, as the same job. */
  async function retry() {
    if (sent) await start(sent.request, runFailure.value?.kind === 'network' ? sent.once : undefined)
  }

  async function resume() {
    if (!unfinished.value || phase.value !== 'idle') return
    await take(async (signal) => see(await service.value.job(unfinished.value, signal), signal))
    if (runFailure.value?.code === 'not_found') runFailure.value = null
  }

  function cancel() {
    if (phase.value === 'idle') return
    turn.abort()
    const id = job.value?.id
    end()
    if (id) void withdraw(id)
  }

  async function take(work: (signal: AbortSignal) => Promise<void>) {
    turn = new AbortController()
    const { signal } = turn
    phase.value = 'sending'
    since.value = Date.now()
    runFailure.value = job.value = null
    try {
      await work(signal)
    } catch (error) {
      if (!signal.aborted) runFailure.value = toFailure(error)
    }
    if (!signal.aborted) end()
  }

  async function see(accepted: Job, signal: AbortSignal) {
    const show = (seen: Job) => {
      if (signal.aborted) return
      job.value = seen
      phase.value = seen.status === 'running' ? 'drawing' : 'waiting'
    }
    show(accepted)
    const last = await follow(service.value, accepted, show, signal)
    signal.throwIfAborted()
    if (last.error && last.status === 'failed') runFailure.value = jobFailure(last.error, last.id)
    if (last.status === 'succeeded') await fetchPictures(last, signal)
  }

  async function fetchPictures(done: Job, signal: AbortSignal) {
    phase.value = 'fetching'
    const files = await Promise.all(done.images.map(({ url }) => service.value.picture(url, signal)))
    signal.throwIfAborted()
    await onPictures(done, files)
  }

  async function withdraw(id: string) {
    await service.value.cancel(id).catch((error) => {
      if (toFailure(error).code === 'job_running') onTooLate()
    })
  }

  function end() {
    phase.value = 'idle'
    unfinished.value = ''
    job.value = null
  }

  return { phase: readonly(phase), job, runFailure, since: readonly(since), start, retry, resume, cancel }
}

/** Not crypto.randomUUID: that is missing where the page came over plain HTTP from another machine. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
