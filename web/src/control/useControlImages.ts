import { shallowRef } from 'vue'
import type { ChosenControl } from '@/api/types'
import { sizeOf, type EditImage } from '@/edits/useEditImages'
import { draftFiles } from '@/request/useInitImage'

/** The pictures of the controls by their ids, kept over a reload. */
export function useControlImages() {
  const images = shallowRef<Partial<Record<string, EditImage>>>({})
  const stored = (id: string) => draftFiles(`control-${id}`)
  let lastKey = 0

  /** Set the picture of a control. Return false if it is no image. */
  async function set(id: string, file: Blob): Promise<boolean> {
    const size = await sizeOf(file)
    if (!size) return false
    images.value = { ...images.value, [id]: { key: ++lastKey, file, size } }
    await stored(id)
      .keep([file])
      .catch(() => undefined)
    return true
  }

  /** Return the pictures of these controls, or null if one has none. */
  function of(controls: ChosenControl[]): EditImage[] | null {
    const found = controls.map(({ id }) => images.value[id]).filter((image) => image !== undefined)
    return found.length === controls.length ? found : null
  }

  async function restore(controls: ChosenControl[]) {
    for (const { id } of controls) {
      const [file] = await stored(id).read()
      if (file && !images.value[id]) await set(id, file)
    }
  }

  return { images, set, of, restore: (controls: ChosenControl[]) => restore(controls).catch(() => undefined) }
}
