/**
 * The API's scheduler names with A1111's sampler name and schedule type, and what other tools call the sampler. Of one
 * sampler the first entry is what A1111 means by `Automatic`: for DPM++ 2M it is Karras.
 */
const SAMPLERS: readonly (readonly [scheduler: string, sampler: string, schedule?: string, others?: string[]])[] = [
  ['ddim', 'DDIM'],
  ['ddpm', 'DDPM'],
  ['dpmpp_2m_karras', 'DPM++ 2M', 'Karras', ['dpmpp_2m', 'k_dpmpp_2m']],
  ['dpmpp_2m', 'DPM++ 2M', 'Uniform', ['dpmpp_2m', 'k_dpmpp_2m']],
  ['euler', 'Euler', undefined, ['k_euler']],
  ['euler_a', 'Euler a', undefined, ['euler_a', 'euler_ancestral', 'k_euler_a', 'k_euler_ancestral']],
  ['heun', 'Heun', undefined, ['k_heun']],
  ['lcm', 'LCM'],
  ['lms', 'LMS', undefined, ['k_lms']],
  ['pndm', 'PLMS', undefined, ['pndm']],
  ['unipc', 'UniPC', undefined, ['uni_pc']],
]

/** Names of the schedule that a scheduler has by itself. Without a name, A1111 before 1.9 and others mean this one. */
const OWN_SCHEDULES = ['', 'normal', 'uniform', 'native']

/** Return A1111's sampler and schedule type of a scheduler. A scheduler that A1111 lacks keeps its own name. */
export function samplerOf(scheduler: string): { sampler: string; schedule?: string } {
  const [, sampler, schedule = 'Automatic'] = SAMPLERS.find(([name]) => name === scheduler) ?? []
  return sampler ? { sampler, schedule } : { sampler: scheduler }
}

/** Return the scheduler that equals another tool's sampler and schedule, or null. Names are compared whole. */
export function schedulerOf(sampler: string, schedule = ''): string | null {
  const [, name = '', suffix] = /^(.*?)(?:[ _](karras|k))?$/.exec(sampler.trim().toLowerCase()) ?? []
  const type = suffix ? 'karras' : schedule.trim().toLowerCase()
  const matches = SAMPLERS.filter(([, label, , others = []]) => label.toLowerCase() === name || others.includes(name))
  const isKarras = type === 'karras'
  const match =
    type === 'automatic'
      ? matches[0]
      : matches.find(([, , own]) => (isKarras || OWN_SCHEDULES.includes(type)) && (own === 'Karras') === isKarras)
  return match?.[0] ?? null
}
