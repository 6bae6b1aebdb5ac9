import { useIntervalFn, useNow } from '@vueuse/core'
import { computed, ref, watch, type Ref } from 'vue'
import type { Job } from '@/api/types'

/** Seconds since `startedAt`, the fraction of steps done and an estimate of the seconds left. */
export function useProgress(job: Ref<Job | null>, startedAt: Ref<number>) {
  const now = useNow({ scheduler: (update) => useIntervalFn(update, 200) })
  const firstStep = ref({ step: 0, at: 0 })

  watch(
    () => job.value?.progress?.step,
    (step = 0, before = 0) => {
      if (step && (step < before || !before)) firstStep.value = { step, at: Date.now() }
    },
    { immediate: true },
  )

  const elapsed = computed(() => Math.max(0, Math.floor((now.value.getTime() - startedAt.value) / 1000)))
  const fraction = computed(() => {
    const progress = job.value?.progress
    return progress ? progress.step / progress.steps : null
  })
  const secondsLeft = computed(() => {
    const progress = job.value?.progress
    const stepsTimed = progress ? progress.step - firstStep.value.step : 0
    if (!progress || stepsTimed < 1) return null
    const secondsPerStep = (now.value.getTime() - firstStep.value.at) / stepsTimed / 1000
    return Math.ceil(secondsPerStep * (progress.steps - progress.step))
  })
  return { elapsed, fraction, secondsLeft }
}
