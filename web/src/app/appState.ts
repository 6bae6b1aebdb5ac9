import { until } from '@vueuse/core'
import { computed, inject, nextTick, ref, watch, type InjectionKey } from 'vue'
import { failure } from '@/api/failure'
import type { ChosenControl, GenerationRequest, Model, Parameters, Preset } from '@/api/types'
import { useConnection } from '@/api/useConnection'
import { useHealth } from '@/api/useHealth'
import { useModel } from '@/api/useModel'
import { useImageFiles } from '@/dialogs/useImageFiles'
import { useControlImages } from '@/control/useControlImages'
import { useAnnouncement } from '@/generation/useAnnouncement'
import { useEstimate } from '@/generation/useEstimate'
import { useGeneration } from '@/generation/useGeneration'
import type { HistoryImage } from '@/history/imageStore'
import { useHistory } from '@/history/useHistory'
import { toBase64, toFile, type ImageSize } from '@/images/canvas'
import type { NotTaken } from '@/images/storedParameters'
import { useModelChoice } from '@/models/useModelChoice'
import { DEFAULT_BLUR, emptyEdit, missingInputs, withoutMargins } from '@/inpaint/edit'
import { MAX_PROPORTION, useEditImages, type EditImage } from '@/edits/useEditImages'
import { useEdit } from '@/inpaint/useEdit'
import { applyParameters, applyPreset, hasFeature, toRequest, type Start } from '@/request/draft'
import { useDraft } from '@/request/useDraft'
import { useInitImage } from '@/request/useInitImage'
import { usePresets } from '@/request/usePresets'
import { i18n, joinSentences } from './i18n'
import { useNotice } from './useNotice'

export type DialogName = 'settings' | 'help' | 'lightbox' | 'openedImage' | 'copy' | 'presets' | 'inpaint'

/** Fields in the advanced settings, which open if one of these has an error. */
const ADVANCED_FIELDS = [
  'negative_prompt',
  'num_inference_steps',
  'guidance_scale',
  'seed',
  'scheduler',
  'output_format',
  'clip_skip',
  'hires',
  'hires.scale',
  'hires.strength',
  'hires.steps',
]

const MAX_SHOWN_NAMES = 12

const joinNames = (names: string[]) =>
  names.slice(0, MAX_SHOWN_NAMES).join(', ') + (names.length > MAX_SHOWN_NAMES ? ', …' : '')

/** The state of the page. `App.vue` creates and provides it. */
export function createAppState() {
  const { t } = i18n.global
  const { connection, service, session } = useConnection()
  const { models, model, chosen, modelFailure, loadModel, reloadModels } = useModel(service)
  const inpaint = useEdit(
    () => draft.value,
    () => Object.values(choice.kept.value),
  )
  const initImage = useInitImage((file) => {
    inpaint.restoreSize(file ? 'whole' : 'before')
    inpaint.reset()
  })
  const editImages = useEditImages(() => Object.assign(draft.value, { width: null, height: null }))
  const controlImages = useControlImages()
  const start = (): Start | null => {
    const sources = editImages.images.value.slice(0, model.value?.edits).map(({ size }) => size)
    if (sources.length && model.value?.edits) return { edit: null, sources }
    if (!initImage.file.value || !hasFeature(model.value, 'image_to_image')) return null
    return { edit: inpaint.isBlank() || !hasFeature(model.value, 'inpaint') ? null : inpaint.edit.value }
  }
  const { draft, settings, validationFailure, changed, reset } = useDraft(model, start)
  const choice = useModelChoice({ models, model, chosen, draft })
  // The editor may have been open when the page was left.
  if (inpaint.isBlank()) inpaint.restoreSize('before')
  const presets = usePresets(draft, settings, model)
  const history = useHistory()
  const estimate = useEstimate(model, settings, history.images, start)
  const canStop = computed(() => hasFeature(model.value, 'cancel_running'))
  /** Text that the user has to copy, since the page may not. */
  const textToCopy = ref('')
  const { notice, showNotice } = useNotice()
  const dialog = ref<DialogName | null>(null)
  const { openedImage, openImage, openImages } = useImageFiles({ model, addEditImages, initImage, dialog, showNotice })
  const advancedOpen = ref(false)
  /** Validation failures are shown after the first attempt to generate. */
  const showsValidation = ref(false)

  const generation = useGeneration(service, {
    onAccepted(accepted, { init_image, mask_image, images, control }) {
      if (init_image) void history.keepInput('init', accepted.id, toFile(init_image))
      if (mask_image) void history.keepInput('mask', accepted.id, toFile(mask_image))
      control?.forEach(({ image }, i) => void history.keepInput(`control-${i}`, accepted.id, toFile(image)))
      images?.forEach((image, i) => void history.keepInput(`edit-${i}`, accepted.id, toFile(image)))
    },
    async onImages(job, files, unwanted) {
      if (!draft.value.seedLocked) draft.value.seed = job.seeds[0] ?? null
      const isStored = await history.add(job, files, job.model ?? models.value[0]?.id ?? '', unwanted)
      if (!isStored) showNotice(t('notice.storageFull'))
      announcement.announce(t('announce.done', { prompt: history.selected.value?.parameters.prompt ?? '' }))
    },
    onCannotStop: () => {
      showNotice(t('notice.cannotCancel'))
    },
    canStop: () => canStop.value,
  })

  const busy = computed(() => generation.phase.value !== 'idle')
  const { job, startedAt, failure: generationFailure } = generation
  const announcement = useAnnouncement({ job, startedAt, busy })
  const step = computed(() => `${generation.phase.value} ${job.value?.message.replace(/\d+/g, '') ?? ''}`)
  const { health, stateOf } = useHealth(service, busy, model, step)
  watch(health, (state) => {
    if (state && !model.value) void loadModel()
  })
  watch(generationFailure, (problem) => {
    if (problem) announcement.announce(t('announce.failed'))
    // The model, or what it had, may be gone since the page was loaded.
    if (problem?.code === 'unknown_value') void reloadModels()
  })
  const visibleFailure = computed(
    () => generation.failure.value ?? (showsValidation.value ? validationFailure.value : null) ?? modelFailure.value,
  )

  const clearRequestFailure = () => {
    showsValidation.value = false
    if (generation.failure.value?.kind === 'request') generation.failure.value = null
  }
  watch(draft, clearRequestFailure, { deep: true })
  watch([initImage.file, inpaint.edit, editImages.images, controlImages.images], clearRequestFailure, { deep: true })

  watch(visibleFailure, (problem) => {
    if (problem?.kind === 'auth' && problem.code !== 'forbidden' && !session) dialog.value = 'settings'
    if (problem?.param && ADVANCED_FIELDS.includes(problem.param)) advancedOpen.value = true
  })

  async function generate() {
    if (!model.value) await loadModel()
    showsValidation.value = true
    if (!model.value || !settings.value || validationFailure.value) return
    const control = await buildControl(model.value, settings.value.control)
    const request = control && (await buildRequest(model.value, settings.value, start(), control))
    // A service with one model may be an older one, which does not know the field.
    const chosenModel = choice.hasChoice.value ? { model: model.value.id } : {}
    if (request) await generation.start({ ...request, ...(control.length && { control }), ...chosenModel })
  }

  /** Build the request with its images. If they cannot be encoded, show that and return null. */
  async function buildRequest(
    loaded: Model,
    size: ImageSize,
    from: Start | null,
    control: { image: string }[],
  ): Promise<GenerationRequest | null> {
    if (from?.sources) return buildEdit(loaded, from, editImages.images.value.slice(0, loaded.edits))
    const file = initImage.file.value
    if (!from || !file) return toRequest(draft.value, loaded, null)
    const { decodedBytes, encodeStart, EmptyMaskError, isLossless } = await import('@/inpaint/encodeStart')
    const used = control.reduce((sum, { image }) => sum + decodedBytes(image), 0)
    const maxBytes = loaded.bounds.init_image_bytes - used
    try {
      const images = await encodeStart(file, from.edit, size, maxBytes)
      if (from.edit && !isLossless(images)) showNotice(t('inpaint.compressed'))
      return toRequest(draft.value, loaded, { ...from, images })
    } catch (error) {
      const isEmpty = error instanceof EmptyMaskError
      generation.failure.value = isEmpty
        ? failure('request', 'empty_mask', 'mask_image')
        : failure('request', 'bad_image', 'init_image')
      return null
    }
  }

  /** Return the controls with their images, or show what is missing and return null. An init image has half the room. */
  async function buildControl(loaded: Model, chosenControls: ChosenControl[]) {
    if (!chosenControls.length) return []
    const files = controlImages.of(chosenControls)
    const { encodeImages } = await import('@/edits/encodeImages')
    try {
      if (!files) throw new TypeError('a control has no image')
      const { init_image_bytes, edit_pixels } = loaded.bounds
      const encoded = await encodeImages(files, start() ? init_image_bytes / 2 : init_image_bytes, edit_pixels)
      return chosenControls.map((control, i) => ({ ...control, image: encoded[i] ?? '' }))
    } catch {
      generation.failure.value = failure('request', files ? 'bad_image' : 'no_control_image', 'control')
      return null
    }
  }

  /** Build a request that has images to look at. If they do not fit into it, show that and return null. */
  async function buildEdit(loaded: Model, from: Start, images: EditImage[]): Promise<GenerationRequest | null> {
    const { encodeImages } = await import('@/edits/encodeImages')
    try {
      const { init_image_bytes, edit_pixels } = loaded.bounds
      const encoded = await encodeImages(images, init_image_bytes, edit_pixels)
      return toRequest(draft.value, loaded, { ...from, images: { images: encoded } })
    } catch {
      generation.failure.value = failure('request', 'bad_image', 'images')
      return null
    }
  }

  /** Add images to look at, and name why some were not added. */
  async function addEditImages(files: Blob[]) {
    if (!model.value) return
    const { edits, bounds } = model.value
    const limits = { count: edits, side: bounds.width.minimum, times: MAX_PROPORTION }
    const refused = await editImages.add(files, model.value)
    const sentences = [...refused].map(([refusal, names]) => {
      const text = t(`edits.${refusal}`, limits)
      return files.length > 1 && names.length ? t('edits.named', { names: joinNames(names), text }) : text
    })
    if (sentences.length) showNotice(joinSentences(sentences))
  }

  function reuseSeed({ parameters }: HistoryImage) {
    Object.assign(draft.value, { seed: parameters.seed, seedLocked: true })
    showNotice(t('notice.seedLocked', { seed: parameters.seed }))
  }

  const fieldNames = (names: string[]) => names.map((name) => t(`fields.${name}`))

  function choosePreset(preset: Preset) {
    if (!model.value) return
    const names = fieldNames(applyPreset(draft.value, preset, model.value))
    if (names.length) showNotice(t('presets.loadedExcept', { names: names.join(', ') }))
  }

  const withUsedScheduler = (name: string) => t('notice.usedInstead', { name, used: settings.value?.scheduler })

  /** Load parameters as soon as the model is known. Name what was not taken, and show what the API would refuse. */
  async function loadParameters(parameters: Partial<Parameters>, notTaken: NotTaken[] = []) {
    await until(model).not.toBeNull()
    const others = takeModel(notTaken)
    const loadedModel = await until(model).not.toBeNull()
    const refused = applyParameters(draft.value, parameters, loadedModel)
    const names = [
      ...fieldNames(refused).map((name, i) => (refused[i] === 'scheduler' ? withUsedScheduler(name) : name)),
      ...others.map(({ name }) => (i18n.global.te(`fields.${name}`) ? t(`fields.${name}`) : name)),
    ]
    showNotice(names.length ? t('notice.loadedExcept', { names: joinNames(names) }) : t('notice.loaded'))
    await nextTick()
    showsValidation.value = true
  }

  /** Take the images that the model had looked at. Return false if this browser or the model does not have them all. */
  async function reuseEdit(image: HistoryImage, count: number): Promise<boolean> {
    const files = await Promise.all(Array.from({ length: count }, (_, i) => history.input(`edit-${i}`, image)))
    const found = files.filter((file) => file !== undefined)
    if (!model.value || found.length < count || count > model.value.edits) return false
    return !(await editImages.replace(found, model.value)).size
  }

  /** Take the images of the controls. Return false if this browser does not have them all. */
  async function reuseControl(image: HistoryImage, control: ChosenControl[]): Promise<boolean> {
    const files = await Promise.all(control.map((_, i) => history.input(`control-${i}`, image)))
    const areSet = await Promise.all(
      control.map(async ({ id }, i) => Boolean(files[i] && (await controlImages.set(id, files[i])))),
    )
    return areSet.every(Boolean)
  }

  /** Choose the model that a file or link names, if it is here. Return what is not taken beside it. */
  function takeModel(notTaken: NotTaken[]): NotTaken[] {
    const found = notTaken.map(choice.namedModel).find(Boolean)
    if (found) choice.chooseModel(found.id)
    return notTaken.filter((item) => !choice.namedModel(item))
  }

  /** Load the parameters of an image, with what it was generated from if this browser has that. */
  async function reuse(image: HistoryImage) {
    const { strength, mask_mode, mask_blur, outpaint, images, control, ...parameters } = image.parameters
    const others = takeModel(choice.hasChoice.value ? [{ name: 'Model', value: image.model }] : [])
    if (images && !(await reuseEdit(image, images.length))) others.push({ name: 'images', value: '…' })
    if (control && !(await reuseControl(image, control))) others.push({ name: 'control', value: '…' })
    else if (control) Object.assign(parameters, { control })
    if (strength === undefined) return loadParameters(parameters, others)
    const [file, mask] = [await history.input('init', image), await history.input('mask', image)]
    const isWhole = file && (mask ?? !mask_mode) && hasFeature(model.value, 'image_to_image')
    if (!isWhole)
      return loadParameters({ ...parameters, strength }, [
        ...others,
        ...missingInputs({ strength, mask_mode, outpaint }),
      ])
    initImage.file.value = file
    const margins = outpaint ?? emptyEdit().margins
    inpaint.reset({ base: mask ? await toBase64(mask) : '', margins, blur: mask_blur ?? DEFAULT_BLUR })
    await loadParameters({ ...parameters, ...withoutMargins(parameters, margins), strength }, others)
  }

  return {
    connection,
    session,
    models,
    model,
    ...choice,
    modelFailure,
    loadModel,
    health,
    stateOf,
    draft,
    settings,
    changed,
    reset,
    presets,
    choosePreset,
    estimate,
    canStop,
    history,
    initImage,
    inpaint,
    editImages,
    addEditImages,
    controlImages,
    generation,
    announcement,
    textToCopy,
    busy,
    visibleFailure,
    dialog,
    advancedOpen,
    notice,
    showNotice,
    generate,
    reuseSeed,
    reuse,
    loadParameters,
    openedImage,
    openImage,
    openImages,
  }
}

export type AppState = ReturnType<typeof createAppState>

export const appStateKey: InjectionKey<AppState> = Symbol('appState')

export function useAppState(): AppState {
  const state = inject(appStateKey)
  if (!state) throw new Error('useAppState() needs App.vue as an ancestor')
  return state
}
