import { useNow } from '@vueuse/core'
import { computed, ref, watch, type Ref } from 'vue'
import type { Job } from '@/api/types'

/** How long it has taken and, from the pace of the steps, how long it will. */
export function useProgress(job: Ref<Job | null>, since: Ref<number>) {
  const now = useNow({ interval: 200 })
  const first = ref({ step: 0, at: 0 })

  watch(
    () => job.value?.progress?.step,
    (step = 0, before = 0) => {
      if (step && (step < before || !before)) first.value = { step, at: Date.now() }
    },
  )

  const elapsed = computed(() => Math.max(0, Math.floor((now.value.getTime() - since.value) / 1000)))
  const fraction = computed(() => {
    const told = job.value?.progress
    return told ? told.step / told.steps : null
  })
  const left = computed(() => {
    const told = job.value?.progress
    const drawn = told ? told.step - first.value.step : 0
    if (!told || drawn < 1) return null
    return Math.ceil(((now.value.getTime() - first.value.at) / drawn / 1000) * (told.steps - told.step))
  })
  return { elapsed, fraction, left }
}
