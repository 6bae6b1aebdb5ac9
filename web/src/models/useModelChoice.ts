import { useSessionStorage } from '@vueuse/core'
import { computed, type Ref } from 'vue'
import type { Model } from '@/api/types'
import type { NotTaken } from '@/images/storedParameters'
import type { Draft } from '@/request/draft'
import { modelSettings, ownSettings, settingsFor, type ModelSettings } from './modelSettings'

interface Choice {
  models: Ref<Model[]>
  model: Ref<Model | null>
  chosen: Ref<string>
  draft: Ref<Draft>
}

/** The choice of a model. Each keeps its settings until it is chosen again. */
export function useModelChoice({ models, model, chosen, draft }: Choice) {
  /** The settings of the models that were chosen before, by id. */
  const kept = useSessionStorage<Record<string, ModelSettings>>('easel.modelSettings', {})
  /** The model that was chosen before, and the names of the settings that it keeps. */
  const setAside = useSessionStorage<{ model: string; names: string[] }>('easel.setAside', { model: '', names: [] })

  function chooseModel(id: string) {
    const [from, to] = [model.value, models.value.find((candidate) => candidate.id === id)]
    if (!from || !to || from.id === to.id) return
    setAside.value = { model: from.name, names: ownSettings(draft.value, from, to) }
    kept.value[from.id] = modelSettings(draft.value)
    Object.assign(draft.value, settingsFor(to, kept.value[to.id], draft.value))
    chosen.value = to.id
  }

  /** Return the name of a model by its id; for one that is not deployed any more, the id. */
  const modelName = (id: string) => models.value.find((candidate) => candidate.id === id)?.name ?? id

  /** Return the model that a field of a file or a link names, if it is here. */
  const namedModel = ({ name, value }: NotTaken) =>
    name === 'Model' ? models.value.find((item) => [item.id, item.name].includes(value)) : undefined

  /** Whether there is a choice. */
  const hasChoice = computed(() => models.value.length > 1)

  return { chooseModel, kept, setAside, modelName, namedModel, hasChoice }
}
