import { AxiosError, type AxiosResponse } from 'axios'
import { beforeEach, expect, test, vi } from 'vitest'
import { shallowRef } from 'vue'
import type { Service } from '@/api/service'
import type { GenerationRequest, Job } from '@/api/types'
import { useRun } from '@/composables/useRun'
import { aJob, aService, done } from './fakes'

const REQUEST: GenerationRequest = { prompt: 'a red apple' }

beforeEach(() => localStorage.clear())

function setUp(changes: Partial<Service> = {}) {
  const service = aService(changes)
  const onPictures = vi.fn(async () => {})
  const onTooLate = vi.fn()
  return { service, onPictures, onTooLate, run: useRun(shallowRef(service), { onPictures, onTooLate }) }
}

function refusal(status: number, code: string): AxiosError {
  return new AxiosError('no', '', undefined, undefined, { status, data: { code }, headers: {} } as AxiosResponse)
}

function later<T>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => (resolve = settle))
  return { promise, resolve }
}

test('a job is sent, followed and fetched', async () => {
  const { run, service, onPictures } = setUp()
  await run.start(REQUEST)
  expect(service.picture).toHaveBeenCalledWith('/files/image-0.png', expect.anything())
  expect(onPictures).toHaveBeenCalledWith(done(), [expect.any(Blob)])
  expect(run.phase.value).toBe('idle')
})

test('a second start while one runs is nothing', async () => {
  const { run, service } = setUp()
  await Promise.all([run.start(REQUEST), run.start(REQUEST)])
  expect(service.submit).toHaveBeenCalledTimes(1)
})

test('cancel is idle at once, and the late answer is dropped', async () => {
  const answer = later<Job>()
  const { run, service, onPictures } = setUp({ job: vi.fn(() => answer.promise) })
  const ended = run.start(REQUEST)
  await vi.waitFor(() => expect(service.job).toHaveBeenCalled())
  run.cancel()
  expect(run.phase.value).toBe('idle')
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  answer.resolve(done())
  await ended
  expect(onPictures).not.toHaveBeenCalled()
  expect(run.runFailure.value).toBeNull()
})

test('a job whose number comes after the cancel is withdrawn all the same', async () => {
  const accepted = later<Job>()
  const { run, service } = setUp({ submit: vi.fn(() => accepted.promise) })
  const ended = run.start(REQUEST)
  run.cancel()
  accepted.resolve(aJob())
  await ended
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  expect(service.job).not.toHaveBeenCalled()
})

test('an earlier run that answers late leaves the next one alone', async () => {
  const first = later<Job>()
  const submit = vi.fn(() => first.promise)
  const { run, service, onPictures } = setUp({ submit })
  const ended = run.start(REQUEST)
  run.cancel()
  submit.mockImplementation(async () => aJob({ id: 'job-2' }))
  await run.start(REQUEST)
  first.resolve(aJob())
  await ended
  expect(service.cancel).toHaveBeenCalledWith('job-1')
  expect(onPictures).toHaveBeenCalledTimes(1)
})

test('a job that has started cannot be stopped, and that is said', async () => {
  const { run, onTooLate } = setUp({
    job: vi.fn(() => new Promise<Job>(() => {})),
    cancel: vi.fn(async () => Promise.reject(refusal(409, 'job_running'))),
  })
  void run.start(REQUEST)
  await vi.waitFor(() => expect(run.phase.value).toBe('waiting'))
  run.cancel()
  await vi.waitFor(() => expect(onTooLate).toHaveBeenCalled())
})

test('a failed job gives its reason', async () => {
  const error = { code: 'blank_output', status: 500, message: 'only black', hint: 'Try another seed.', param: null }
  const { run } = setUp({ job: vi.fn(async () => aJob({ status: 'failed', error })) })
  await run.start(REQUEST)
  expect(run.runFailure.value).toMatchObject({ kind: 'service', code: 'blank_output', hint: 'Try another seed.' })
})

test('after a break of the line the same key is sent again, after a refusal a new one', async () => {
  const submit = vi.fn<Service['submit']>(async () => Promise.reject(new AxiosError('Network Error')))
  const { run } = setUp({ submit })
  await run.start(REQUEST)
  await run.retry()
  submit.mockImplementation(async () => Promise.reject(refusal(503, 'model_busy')))
  await run.retry()
  await run.retry()
  const keys = submit.mock.calls.map(([, once]) => once)
  expect(keys[0]).toBe(keys[1])
  expect(keys[1]).toBe(keys[2])
  expect(keys[3]).not.toBe(keys[2])
})

test('an unfinished job is picked up after a reload, and forgotten at its end', async () => {
  localStorage.setItem('easel.job', 'job-1')
  const { run, onPictures } = setUp()
  await run.resume()
  expect(onPictures).toHaveBeenCalled()
  await vi.waitFor(() => expect(localStorage.getItem('easel.job')).toBe(''))
})

test('a job that is gone after a reload is no error', async () => {
  localStorage.setItem('easel.job', 'job-1')
  const { run } = setUp({ job: vi.fn(async () => Promise.reject(refusal(404, 'not_found'))) })
  await run.resume()
  expect(run.runFailure.value).toBeNull()
})

test('a short break while waiting is waited out', async () => {
  vi.useFakeTimers()
  const job = vi.fn<Service['job']>(async () => done())
  job.mockImplementationOnce(async () => Promise.reject(new AxiosError('Network Error')))
  job.mockImplementationOnce(async () => Promise.reject(refusal(502, 'upstream_error')))
  const { run, onPictures } = setUp({ job })
  const ended = run.start(REQUEST)
  await vi.runAllTimersAsync()
  await ended
  vi.useRealTimers()
  expect(job).toHaveBeenCalledTimes(3)
  expect(onPictures).toHaveBeenCalled()
})
