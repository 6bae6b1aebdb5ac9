import { computed, inject, ref, shallowRef, watch, type InjectionKey } from 'vue'
import { failure, type Failure } from './api/failure'
import type { Parameters } from './api/types'
import { useConnection } from './composables/useConnection'
import { useDraft } from './composables/useDraft'
import { useHistory } from './composables/useHistory'
import { useModel } from './composables/useModel'
import { useNotice } from './composables/useNotice'
import { useRun } from './composables/useRun'
import { useStartPicture } from './composables/useStartPicture'
import { hasFeature, takeOver, toRequest } from './draft'
import type { Picture } from './history'
import { i18n } from './i18n'
import { readParameters } from './metadata/read'

export type DialogName = 'settings' | 'help' | 'lightbox' | 'dropped'

/** The fields that errors of the API can mean, as the page shows them. */
const ADVANCED = ['negative_prompt', 'num_images_per_prompt', 'num_inference_steps', 'guidance_scale', 'seed', 'scheduler', 'output_format']

/** Everything that the page is about, made once and handed down. */
export function createStudio() {
  const { t } = i18n.global
  const { connection, service } = useConnection()
  const { model, modelFailure, loadModel } = useModel(service)
  const start = useStartPicture()
  const starts = () => start.file.value !== null && hasFeature(model.value, 'image_to_image')
  const { draft, settings, objection } = useDraft(model, starts)
  const history = useHistory()
  const { notice, say } = useNotice()
  const dropped = shallowRef<{ file: Blob; parameters: Partial<Parameters> } | null>(null)
  const dialog = ref<DialogName | null>(null)
  const advanced = ref(false)
  const attempted = ref(false)

  const run = useRun(service, {
    async onPictures(job, files) {
      if (!draft.value.seedLocked) draft.value.seed = job.seeds[0] ?? null
      const kept = await history.add(job, files, model.value?.id ?? '')
      if (!kept) say(t('notice.noRoom'))
    },
    onTooLate: () => say(t('notice.tooLate')),
  })

  const busy = computed(() => run.phase.value !== 'idle')
  const shown = computed<Failure | null>(
    () => run.runFailure.value ?? (attempted.value ? (objection.value ?? modelFailure.value) : null) ?? modelFailure.value,
  )

  const forgive = () => {
    attempted.value = false
    if (run.runFailure.value?.kind === 'request') run.runFailure.value = null
  }
  watch(draft, forgive, { deep: true })
  watch(start.file, forgive)

  watch(shown, (problem) => {
    if (problem?.kind === 'auth') dialog.value = 'settings'
    if (problem?.param && ADVANCED.includes(problem.param)) advanced.value = true
  })

  async function generate() {
    if (busy.value) return
    if (!model.value) await loadModel()
    attempted.value = true
    if (!model.value || !settings.value || objection.value) return
    const { width, height } = settings.value
    try {
      const picture = starts() ? await start.encode(width, height, model.value.bounds.init_image_bytes) : null
      await run.start(toRequest(draft.value, model.value, picture))
    } catch {
      run.runFailure.value = failure('request', 'bad_image', 'init_image')
    }
  }

  function useSeed({ parameters }: Picture) {
    Object.assign(draft.value, { seed: parameters.seed, seedLocked: true })
    say(t('notice.seed', { seed: parameters.seed }))
  }

  function takeParameters(told: Partial<Parameters>) {
    const refused = takeOver(draft.value, told, model.value)
    const names = refused.map((name) => t(`fields.${name}`)).join(', ')
    say(names ? t('notice.takenBut', { names }) : t('notice.taken'))
  }

  /** A picture file that came from outside: its parameters, or itself to start from. */
  async function open(file: Blob) {
    const parameters = await readParameters(file).catch(() => null)
    if (parameters) {
      dropped.value = { file, parameters }
      dialog.value = 'dropped'
    } else if (hasFeature(model.value, 'image_to_image')) start.file.value = file
    else say(t('notice.noParameters'))
  }

  return {
    connection, service, model, modelFailure, loadModel,
    draft, settings, history, start, run, busy, shown,
    dialog, advanced, notice, say,
    generate, useSeed, takeParameters, open, dropped,
  }
}

export type Studio = ReturnType<typeof createStudio>

export const studioKey: InjectionKey<Studio> = Symbol('studio')

export function useStudio(): Studio {
  const studio = inject(studioKey)
  if (!studio) throw new Error('useStudio needs App above it')
  return studio
}
