import { shallowRef, watch, type Ref } from 'vue'
import { toFailure, type Failure } from '@/api/failure'
import type { Service } from '@/api/service'
import type { Model } from '@/api/types'

/** The model that the service runs, asked for again whenever the service changes. */
export function useModel(service: Ref<Service>) {
  const model = shallowRef<Model | null>(null)
  const modelFailure = shallowRef<Failure | null>(null)
  let turn = 0

  async function loadModel() {
    const mine = ++turn
    const settle = (found: Model | null, problem: Failure | null) => {
      if (mine !== turn) return
      model.value = found
      modelFailure.value = problem
    }
    await service.value.model().then(
      (found) => settle(found, null),
      (error) => settle(null, toFailure(error)),
    )
  }

  watch(service, loadModel, { immediate: true })
  return { model, modelFailure, loadModel }
}
