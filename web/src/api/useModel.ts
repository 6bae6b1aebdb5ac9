import { shallowRef, watch, type Ref } from 'vue'
import { toFailure, type Failure } from './failure'
import type { Service } from './service'
import type { Model } from './types'

/** The model of the service. Loaded again whenever the service changes; a late response of an old service is ignored. */
export function useModel(service: Ref<Service>) {
  const model = shallowRef<Model | null>(null)
  const modelFailure = shallowRef<Failure | null>(null)
  let latestLoad = 0

  async function loadModel() {
    const thisLoad = ++latestLoad
    const finish = (loaded: Model | null, problem: Failure | null) => {
      if (thisLoad !== latestLoad) return
      model.value = loaded
      modelFailure.value = problem
    }
    await service.value.model().then(
      (loaded) => {
        finish(loaded, null)
      },
      (error: unknown) => {
        finish(null, toFailure(error))
      },
    )
  }

  watch(service, loadModel, { immediate: true })
  return { model, modelFailure, loadModel }
}
