import { vi } from 'vitest'
import type { Service } from '@/api/service'
import type { Job, Model } from '@/api/types'

const range = (minimum: number, maximum: number) => ({ minimum, maximum })

export function aModel(): Model {
  return {
    id: 'example',
    name: 'Example',
    licence: 'MIT',
    licence_url: 'https://example.org/licence',
    sizes: [{ width: 512, height: 512 }, { width: 768, height: 512 }],
    defaults: { width: 512, height: 512, num_images_per_prompt: 1, num_inference_steps: 20, guidance_scale: 7.5, scheduler: 'dpmpp_2m', output_format: 'png', strength: 0.8, embed_parameters: false },
    bounds: {
      width: range(64, 768),
      height: range(64, 768),
      side_multiple: 8,
      prompts: range(1, 8),
      prompt_chars: range(1, 2000),
      negative_prompt_chars: range(0, 2000),
      images: range(1, 8),
      num_inference_steps: range(1, 150),
      guidance_scale: range(0, 30),
      seed: range(0, 2 ** 32 - 1),
      deadline_ms: range(1000, 900_000),
      strength: range(0.01, 1),
      init_image_bytes: 3 * 2 ** 20,
      init_image_pixels: 4096 * 4096,
      budget: 512 * 512 * 100,
    },
    schedulers: ['ddim', 'dpmpp_2m', 'euler'],
    formats: ['png', 'webp', 'jpeg'],
    features: [],
    enlarges: false,
    suggestions: ['a red apple'],
    draws: [],
    draws_in: { 'zh-CN': [] },
  }
}

export function aJob(changes: Partial<Job> = {}): Job {
  return {
    id: 'job-1',
    status: 'queued',
    message: 'The job waits for its turn.',
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
    ...changes,
  }
}

export const done = () =>
  aJob({
    status: 'succeeded',
    images: [{ url: '/files/image-0.png', seed: 7, width: 512, height: 512, media_type: 'image/png' }],
    timings: { job_s: 1.5 },
  })

/** A service that answers at once; a test changes what it is about. */
export function aService(changes: Partial<Service> = {}): Service {
  return {
    model: vi.fn(async () => aModel()),
    submit: vi.fn(async () => aJob()),
    job: vi.fn(async () => done()),
    cancel: vi.fn(async () => aJob({ status: 'cancelled' })),
    picture: vi.fn(async () => new Blob(['picture'], { type: 'image/png' })),
    eventsUrl: () => null,
    ...changes,
  }
}
