import { AxiosError } from 'axios'
import { beforeEach, expect, test, vi } from 'vitest'
import { nextTick, ref, shallowRef } from 'vue'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'
import { useGeneration } from '@/generation/useGeneration'
import { useProgress } from '@/generation/useProgress'
import { createFakeService, createFinishedJob, createJob, deferred, responseError } from './data'

const REQUEST: GenerationRequest = { prompt: 'a red apple' }
const NETWORK_ERROR = new AxiosError('Network Error')

beforeEach(() => {
  localStorage.clear()
})

function setUp(changes: Partial<Service> = {}, stoppable = true) {
  const service = createFakeService(changes)
  const onImages = vi.fn<(job: Job, files: Blob[], unwanted: boolean) => Promise<void>>(() => Promise.resolve())
  const onCannotStop = vi.fn()
  const canStop = () => stoppable
  const generation = useGeneration(shallowRef(service), {
    onAccepted: () => undefined,
    onImages,
    onCannotStop,
    canStop,
  })
  return { service, onImages, onCannotStop, generation }
}

const rejection = (status: number, code: string) => responseError(status, { code })

test('a job is submitted, followed and its images fetched', async () => {
  const { generation, service, onImages } = setUp()
  await generation.start(REQUEST)
  expect(service.image).toHaveBeenCalledWith('/files/image-0.png', expect.anything())
  expect(onImages).toHaveBeenCalledWith(createFinishedJob(), [expect.any(Blob)], false)
  expect(generation.phase.value).toBe('idle')
})

test('a second start while the first is sent does nothing', async () => {
  const { generation, service } = setUp()
  await Promise.all([generation.start(REQUEST), generation.start(REQUEST)])
  expect(service.submit).toHaveBeenCalledTimes(1)
})

test('cancel takes effect immediately and the late response is ignored', async () => {
  const response = deferred<Job>()
  const { generation, service, onImages } = setUp({ job: vi.fn(() => response.promise) })
  const ended = generation.start(REQUEST)
  await vi.waitFor(() => expect(service.job).toHaveBeenCalled())
  void generation.cancel()
  expect(generation.phase.value).toBe('idle')
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  response.resolve(createFinishedJob())
  await ended
  expect(onImages).not.toHaveBeenCalled()
  expect(generation.failure.value).toBeNull()
})

test('a job accepted after the cancel is cancelled too', async () => {
  const accepted = deferred<Job>()
  const { generation, service } = setUp({ submit: vi.fn(() => accepted.promise) })
  const ended = generation.start(REQUEST)
  void generation.cancel()
  accepted.resolve(createJob())
  await ended
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  expect(service.job).not.toHaveBeenCalled()
})

test('a late response of an earlier run does not affect the next', async () => {
  const first = deferred<Job>()
  const submit = vi.fn(() => first.promise)
  const { generation, service, onImages } = setUp({ submit })
  const ended = generation.start(REQUEST)
  void generation.cancel()
  submit.mockResolvedValue(createJob({ id: 'job-2' }))
  await generation.start(REQUEST)
  first.resolve(createJob())
  await ended
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  expect(onImages).toHaveBeenCalledTimes(1)
})

test('a job that cannot be stopped goes on, and its images are marked', async () => {
  const response = deferred<Job>()
  const cancel = vi.fn(() => Promise.reject(rejection(409, 'job_running')))
  const { generation, onImages, onCannotStop } = setUp({ job: vi.fn(() => response.promise), cancel }, false)
  const ended = generation.start(REQUEST)
  await vi.waitFor(() => expect(generation.phase.value).toBe('waiting'))
  await generation.cancel()
  expect(onCannotStop).toHaveBeenCalledOnce()
  await generation.cancel()
  expect(cancel).toHaveBeenCalledOnce()
  response.resolve(createFinishedJob())
  await ended
  expect(onImages).toHaveBeenCalledExactlyOnceWith(createFinishedJob(), [expect.any(Blob)], true)
})

test('a job that is known to run is not cancelled where it cannot be stopped', async () => {
  const submit = vi.fn(() => Promise.resolve(createJob({ status: 'running' })))
  const { generation, service, onCannotStop } = setUp({ submit, job: vi.fn(() => deferred<Job>().promise) }, false)
  void generation.start(REQUEST)
  await vi.waitFor(() => expect(generation.phase.value).toBe('generating'))
  void generation.cancel()
  expect(onCannotStop).toHaveBeenCalledOnce()
  expect(service.cancel).not.toHaveBeenCalled()
})

test('jobs queue up, are followed in order, and one of them can be removed', async () => {
  const ends = ['job-1', 'job-2', 'job-3'].map(() => deferred<Job>())
  const names = ends.map((_, i) => createJob({ id: `job-${i + 1}` }))
  const submit = vi.fn<Service['submit']>()
  for (const name of names) submit.mockResolvedValueOnce(name)
  const job = vi.fn<Service['job']>((id) => ends[Number(id.at(-1)) - 1]?.promise ?? Promise.reject(NETWORK_ERROR))
  const { generation, service, onImages } = setUp({ submit, job })
  const ended = Promise.all([1, 2, 3].map((seed) => generation.start({ ...REQUEST, seed })))
  await vi.waitFor(() => expect(generation.queue.value.map(({ id }) => id)).toEqual(['job-2', 'job-3']))
  await generation.cancel('job-2')
  expect(service.cancel).toHaveBeenCalledExactlyOnceWith('job-2')
  expect(generation.job.value?.id).toBe('job-1')
  ends[2]?.resolve(createFinishedJob({ id: 'job-3' }))
  ends[0]?.resolve(createFinishedJob())
  await ended
  expect(onImages.mock.calls.map(([{ id }]) => id)).toEqual(['job-1', 'job-3'])
})

test('after a lost connection the jobs are kept, and followed again', async () => {
  vi.useFakeTimers()
  const job = vi.fn<Service['job']>(() => Promise.reject(NETWORK_ERROR))
  const { generation, service, onImages } = setUp({ job })
  const ended = generation.start(REQUEST)
  await vi.runAllTimersAsync()
  await ended
  vi.useRealTimers()
  expect(generation.failure.value?.kind).toBe('network')
  expect(generation.phase.value).toBe('idle')
  job.mockResolvedValue(createFinishedJob())
  const followed = generation.retry()
  expect(generation.failure.value).toBeNull()
  await followed
  expect(onImages).toHaveBeenCalledOnce()
  expect(service.submit).toHaveBeenCalledOnce()
})

test('a failed job sets the failure, and a retry sends it again', async () => {
  const error = { code: 'blank_output', status: 500, message: 'blank', hint: 'Try another seed.', param: null }
  const { generation, service } = setUp({ job: vi.fn(() => Promise.resolve(createJob({ status: 'failed', error }))) })
  await generation.start(REQUEST)
  expect(generation.failure.value).toMatchObject({ kind: 'service', code: 'blank_output', hint: error.hint })
  await generation.retry()
  const sent = vi.mocked(service.submit).mock.calls
  expect(sent.map(([request]) => request)).toEqual([REQUEST, REQUEST])
  expect(new Set(sent.map(([, key]) => key)).size).toBe(2)
})

test('a retry keeps the idempotency key after a network error, and else takes a new key', async () => {
  const submit = vi.fn<Service['submit']>(() => Promise.reject(NETWORK_ERROR))
  const { generation } = setUp({ submit })
  await generation.start(REQUEST)
  await generation.retry()
  submit.mockRejectedValue(rejection(503, 'model_busy'))
  await generation.retry()
  await generation.retry()
  const keys = submit.mock.calls.map(([, key]) => key)
  expect(keys[0]).toBe(keys[1])
  expect(keys[1]).toBe(keys[2])
  expect(keys[3]).not.toBe(keys[2])
})

test('an unfinished job continues after a reload and is forgotten at its end', async () => {
  localStorage.setItem('easel.jobs', JSON.stringify([{ id: 'job-1', startedAt: 5, unwanted: true }]))
  const { generation, onImages } = setUp()
  await generation.resume()
  expect(onImages).toHaveBeenCalledExactlyOnceWith(createFinishedJob(), [expect.any(Blob)], true)
  await vi.waitFor(() => expect(localStorage.getItem('easel.jobs')).toBe('[]'))
})

test('a job that no longer exists after a reload is not a failure', async () => {
  localStorage.setItem('easel.jobs', JSON.stringify([{ id: 'job-1', startedAt: 5 }]))
  const { generation } = setUp({ job: vi.fn(() => Promise.reject(rejection(404, 'not_found'))) })
  await generation.resume()
  expect(generation.failure.value).toBeNull()
})

test('polling continues after temporary failures', async () => {
  vi.useFakeTimers()
  const job = vi.fn<Service['job']>(() => Promise.resolve(createFinishedJob()))
  job.mockRejectedValueOnce(NETWORK_ERROR).mockRejectedValueOnce(rejection(502, 'upstream_error'))
  const { generation, onImages } = setUp({ job })
  const ended = generation.start(REQUEST)
  await vi.runAllTimersAsync()
  await ended
  vi.useRealTimers()
  expect(job).toHaveBeenCalledTimes(3)
  expect(onImages).toHaveBeenCalled()
})

test('the time left of a job that already runs is counted from the first step that the page sees', async () => {
  vi.useFakeTimers({ now: 1_000_000 })
  const job = shallowRef<Job | null>(createJob({ progress: { step: 7, steps: 20, preview: null } }))
  const { secondsLeft } = useProgress(job, ref(0))
  expect(secondsLeft.value).toBeNull()
  vi.advanceTimersByTime(2000)
  job.value = createJob({ progress: { step: 9, steps: 20, preview: null } })
  await nextTick()
  expect(secondsLeft.value).toBe(11)
  vi.useRealTimers()
})
