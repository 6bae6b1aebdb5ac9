import { useSessionStorage } from '@vueuse/core'
import { computed, shallowRef, watch, type Ref } from 'vue'
import { toFailure, type Failure } from './failure'
import type { Service } from './service'
import type { Model } from './types'

const KEY = 'easel.model'

/**
 * The models of the service and the chosen one, by default the first. Loaded again whenever the service changes; a late
 * response of an old service is ignored. Each tab has its choice; a new tab begins with the last one.
 */
export function useModel(service: Ref<Service>) {
  const models = shallowRef<Model[]>([])
  const modelFailure = shallowRef<Failure | null>(null)
  const chosen = useSessionStorage(KEY, localStorage.getItem(KEY) ?? '')
  watch(chosen, (id) => localStorage.setItem(KEY, id))
  const model = computed(() => models.value.find(({ id }) => id === chosen.value) ?? models.value[0] ?? null)
  let latestLoad = 0

  async function loadModel() {
    const thisLoad = ++latestLoad
    const finish = (loaded: Model[], problem: Failure | null) => {
      if (thisLoad !== latestLoad) return
      models.value = loaded
      modelFailure.value = problem
    }
    await service.value.models().then(
      (loaded) => {
        finish(loaded, null)
      },
      (error: unknown) => {
        finish([], toFailure(error))
      },
    )
  }

  /** Load the models again, which may have changed. Without a response the known ones stay. */
  async function reloadModels() {
    const thisLoad = ++latestLoad
    const loaded = await service.value.models().catch(() => null)
    if (loaded && thisLoad === latestLoad) models.value = loaded
  }

  watch(service, loadModel, { immediate: true })
  return { models, model, chosen, modelFailure, loadModel, reloadModels }
}
