import { useDocumentVisibility, useLocalStorage, useTitle } from '@vueuse/core'
import { computed, ref, watch, type Ref } from 'vue'
import type { Job } from '@/api/types'
import { i18n } from '@/app/i18n'
import { toClock } from './duration'
import { useProgress } from './useProgress'

const NAME = 'Easel'
const BEEP_HZ = 660
const BEEP_SECONDS = 0.25

interface Running {
  job: Ref<Job | null>
  startedAt: Ref<number>
  busy: Ref<boolean>
}

/** How the end of a job is announced: always in the tab's title, and if the user wants it by a notification or a sound. */
export function useAnnouncement({ job, startedAt, busy }: Running) {
  const { t } = i18n.global
  const wants = useLocalStorage('easel.announce', { notification: false, sound: false }, { mergeDefaults: true })
  const visibility = useDocumentVisibility()
  const finished = ref(0)
  const { elapsed, fraction } = useProgress(job, startedAt)

  useTitle(
    computed(() => {
      if (busy.value) {
        const done = fraction.value === null ? toClock(elapsed.value) : `${Math.round(fraction.value * 100)} %`
        return `${done} · ${NAME}`
      }
      return finished.value ? `(${finished.value}) ${t('announce.title')} · ${NAME}` : NAME
    }),
  )
  watch(visibility, (state) => {
    if (state === 'visible') finished.value = 0
  })

  /** Announce images that are there, or the failure of a job. */
  function announce(text: string) {
    if (wants.value.sound) beep()
    if (visibility.value === 'visible') return
    finished.value++
    if (wants.value.notification && 'Notification' in window && Notification.permission === 'granted') notify(text)
  }

  return { wants, announce }
}

/** Ask the browser for the permission to notify. Return whether it is given. */
export async function mayNotify(): Promise<boolean> {
  return 'Notification' in window && (await Notification.requestPermission()) === 'granted'
}

/** Show a notification. On Android only the service worker may, which also brings the page back. */
function notify(body: string) {
  const options = { body, icon: 'icons/192.png' }
  try {
    new Notification(NAME, options).onclick = () => window.focus()
  } catch {
    void navigator.serviceWorker.getRegistration().then((registration) => registration?.showNotification(NAME, options))
  }
}

function beep() {
  const context = new AudioContext()
  const tone = new OscillatorNode(context, { frequency: BEEP_HZ })
  const volume = new GainNode(context, { gain: 0.1 })
  tone.connect(volume).connect(context.destination)
  tone.onended = () => void context.close()
  tone.start()
  tone.stop(context.currentTime + BEEP_SECONDS)
}
