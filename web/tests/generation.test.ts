import { AxiosError } from 'axios'
import { beforeEach, expect, test, vi } from 'vitest'
import { shallowRef } from 'vue'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'
import { useGeneration } from '@/stage/useGeneration'
import { createFakeService, createFinishedJob, createJob, deferred, responseError } from './data'

const REQUEST: GenerationRequest = { prompt: 'a red apple' }
const NETWORK_ERROR = new AxiosError('Network Error')

beforeEach(() => {
  localStorage.clear()
})

function setUp(changes: Partial<Service> = {}) {
  const service = createFakeService(changes)
  const onImages = vi.fn(() => Promise.resolve())
  const onCancelRejected = vi.fn()
  const generation = useGeneration(shallowRef(service), { onImages, onCancelRejected })
  return { service, onImages, onCancelRejected, generation }
}

const rejection = (status: number, code: string) => responseError(status, { code })

test('a job is submitted, followed and its images fetched', async () => {
  const { generation, service, onImages } = setUp()
  await generation.start(REQUEST)
  expect(service.image).toHaveBeenCalledWith('/files/image-0.png', expect.anything())
  expect(onImages).toHaveBeenCalledWith(createFinishedJob(), [expect.any(Blob)])
  expect(generation.phase.value).toBe('idle')
})

test('a second start while a job runs does nothing', async () => {
  const { generation, service } = setUp()
  await Promise.all([generation.start(REQUEST), generation.start(REQUEST)])
  expect(service.submit).toHaveBeenCalledTimes(1)
})

test('cancel takes effect immediately and the late response is ignored', async () => {
  const response = deferred<Job>()
  const { generation, service, onImages } = setUp({ job: vi.fn(() => response.promise) })
  const ended = generation.start(REQUEST)
  await vi.waitFor(() => expect(service.job).toHaveBeenCalled())
  generation.cancel()
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
  generation.cancel()
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
  generation.cancel()
  submit.mockResolvedValue(createJob({ id: 'job-2' }))
  await generation.start(REQUEST)
  first.resolve(createJob())
  await ended
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  expect(onImages).toHaveBeenCalledTimes(1)
})

test('a rejected cancel of a started job is reported', async () => {
  const { generation, onCancelRejected } = setUp({
    job: vi.fn(() => deferred<Job>().promise),
    cancel: vi.fn(() => Promise.reject(rejection(409, 'job_running'))),
  })
  void generation.start(REQUEST)
  await vi.waitFor(() => expect(generation.phase.value).toBe('waiting'))
  generation.cancel()
  await vi.waitFor(() => expect(onCancelRejected).toHaveBeenCalled())
})

test('a failed job sets the failure', async () => {
  const error = { code: 'blank_output', status: 500, message: 'blank', hint: 'Try another seed.', param: null }
  const { generation } = setUp({ job: vi.fn(() => Promise.resolve(createJob({ status: 'failed', error }))) })
  await generation.start(REQUEST)
  expect(generation.failure.value).toMatchObject({ kind: 'service', code: 'blank_output', hint: error.hint })
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
  localStorage.setItem('easel.job', 'job-1')
  const { generation, onImages } = setUp()
  await generation.resume()
  expect(onImages).toHaveBeenCalled()
  await vi.waitFor(() => expect(localStorage.getItem('easel.job')).toBe(''))
})

test('a job that no longer exists after a reload is not a failure', async () => {
  localStorage.setItem('easel.job', 'job-1')
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
