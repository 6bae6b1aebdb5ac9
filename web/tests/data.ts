import { AxiosError, AxiosHeaders } from 'axios'
import { vi } from 'vitest'
import type { SentModel } from '@/api/readModel'
import type { Service } from '@/api/service'
import type { EndpointHealth, Health, Job, Model, Parameters } from '@/api/types'

const range = (minimum: number, maximum: number) => ({ minimum, maximum })

const READY: EndpointHealth = { status: 'ready', detail: '', wake_minutes: null, usd_per_hour: null }

export function createModel(changes: Partial<Model> = {}): Model {
  return {
    id: 'example',
    name: 'Example',
    licence: 'MIT',
    licence_url: 'https://example.org/licence',
    sizes: [
      { width: 512, height: 512 },
      { width: 768, height: 512 },
    ],
    defaults: {
      width: 512,
      height: 512,
      num_images_per_prompt: 1,
      num_inference_steps: 20,
      guidance_scale: 7.5,
      scheduler: 'dpmpp_2m',
      output_format: 'png',
      strength: 0.8,
      embed_parameters: false,
      prompt_syntax: 'plain',
      hires: { scale: 2, strength: 0.5 },
    },
    bounds: {
      width: range(64, 768),
      height: range(64, 768),
      side_multiple: 8,
      prompts: range(1, 8),
      prompt_chars: range(1, 2000),
      negative_prompt_chars: range(0, 2000),
      images: range(1, 8),
      num_inference_steps: range(1, 150),
      scheduler_steps: { ddim: range(1, 150), dpmpp_2m: range(1, 150), euler: range(1, 15) },
      guidance_scale: range(0, 30),
      seed: range(0, 2 ** 32 - 1),
      deadline_ms: range(1000, 900_000),
      strength: range(0.01, 1),
      init_image_bytes: 3 * 2 ** 20,
      init_image_pixels: 4096 * 4096,
      mask_blur: { minimum: 0, maximum: 64 },
      outpaint: { minimum: 0, maximum: 1024 },
      loras: { minimum: 1, maximum: 4 },
      lora_scale: { minimum: -4, maximum: 4 },
      lora_cost_percent: 10,
      controls: { minimum: 1, maximum: 2 },
      control_scale: { minimum: 0, maximum: 2 },
      control_cost_percent: 50,
      clip_skip: range(1, 12),
      prompt_weight: range(-10, 10),
      hires_scale: range(1.5, 2),
      edit_pixels: 1024 * 1024,
      max_pixel_steps: 512 * 512 * 100,
    },
    schedulers: ['ddim', 'dpmpp_2m', 'euler'],
    formats: ['png', 'webp', 'jpeg'],
    features: [],
    content: [],
    upscales: false,
    suggestions: ['a red apple'],
    subjects: [],
    subjects_in: { 'zh-CN': [] },
    prompt_tokens: 75,
    presets: [],
    loras: [],
    controls: [],
    control_without: [],
    embeddings: [],
    edits: 0,
    takes_negative_prompt: true,
    takes_guidance_scale: true,
    state: READY,
    ...changes,
  }
}

/** A model as the first version of the API returned it. */
export function createFirstModel(): SentModel {
  const { id, name, licence, licence_url, sizes, defaults, bounds, schedulers, formats, features, upscales } =
    createModel()
  const { suggestions, subjects, subjects_in } = createModel()
  const { width, height, num_images_per_prompt, num_inference_steps, guidance_scale, scheduler } = defaults
  const { output_format, strength, embed_parameters } = defaults
  return {
    ...{ id, name, licence, licence_url, sizes, schedulers, formats, features, upscales },
    ...{ suggestions, subjects, subjects_in },
    defaults: {
      ...{ width, height, num_images_per_prompt, num_inference_steps, guidance_scale, scheduler },
      ...{ output_format, strength, embed_parameters },
    },
    bounds: {
      width: bounds.width,
      height: bounds.height,
      side_multiple: bounds.side_multiple,
      prompts: bounds.prompts,
      prompt_chars: bounds.prompt_chars,
      negative_prompt_chars: bounds.negative_prompt_chars,
      images: bounds.images,
      num_inference_steps: bounds.num_inference_steps,
      guidance_scale: bounds.guidance_scale,
      seed: bounds.seed,
      deadline_ms: bounds.deadline_ms,
      strength: bounds.strength,
      init_image_bytes: bounds.init_image_bytes,
      init_image_pixels: bounds.init_image_pixels,
      max_pixel_steps: bounds.max_pixel_steps,
    },
  }
}

export const PARAMETERS: Parameters = {
  prompt: '一只熊猫\'s sofa & "more"\n#2',
  negative_prompt: '',
  width: 512,
  height: 768,
  num_inference_steps: 20,
  guidance_scale: 7.5,
  seed: 4_294_967_295,
  scheduler: 'euler_a',
  output_format: 'webp',
}

export function createJob(changes: Partial<Job> = {}): Job {
  return {
    id: 'job-1',
    model: 'example',
    status: 'queued',
    message: 'The job is queued.',
    created_at: '2026-11-23T08:00:00.000Z',
    started_at: null,
    completed_at: null,
    progress: null,
    parameters: { prompt: ['a red apple'], width: 512, height: 512, seed: 7, num_images_per_prompt: 1 },
    seeds: [7],
    images: [],
    timings: {},
    warnings: [],
    error: null,
    urls: { get: '/jobs/job-1', cancel: '/jobs/job-1' },
    webhook: null,
    ...changes,
  }
}

export function createFinishedJob(changes: Partial<Job> = {}): Job {
  return createJob({
    status: 'succeeded',
    images: [
      {
        url: '/files/image-0.png',
        seed: 7,
        width: 512,
        height: 512,
        media_type: 'image/png',
        flagged: false,
        flagged_reason: null,
      },
    ],
    timings: { job_s: 1.5 },
    ...changes,
  })
}

export function createHealth(): Health {
  return {
    status: 'ok',
    model: 'example',
    endpoint: READY,
    models: { example: READY },
  }
}

/** A service that responds immediately. `changes` replaces some of its functions. */
export function createFakeService(changes: Partial<Service> = {}): Service {
  return {
    models: vi.fn(() => Promise.resolve([createModel()])),
    health: vi.fn(() => Promise.resolve(createHealth())),
    submit: vi.fn(() => Promise.resolve(createJob())),
    job: vi.fn(() => Promise.resolve(createFinishedJob())),
    cancel: vi.fn(() => Promise.resolve(createJob({ status: 'cancelled' }))),
    image: vi.fn(() => Promise.resolve(new Blob(['image'], { type: 'image/png' }))),
    eventsUrl: () => null,
    ...changes,
  }
}

/** The error that axios throws for a response with this status and body. */
export function responseError(status: number, data: unknown): AxiosError {
  const headers = new AxiosHeaders()
  const response = { status, statusText: '', data, headers: { 'x-request-id': 'r-1' }, config: { headers } }
  return new AxiosError('failed', '', undefined, undefined, response)
}

/** A promise that the test resolves. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
