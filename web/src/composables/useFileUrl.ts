import { useObjectUrl } from '@vueuse/core'
import { shallowRef, toValue, watch, type MaybeRefOrGetter, type Ref } from 'vue'

interface Files {
  file(id: string): Promise<Blob | undefined>
}

/** An address of the picture's own bytes, for as long as the component lives. */
export function useFileUrl(files: Files, id: MaybeRefOrGetter<string | null>): Readonly<Ref<string | undefined>> {
  const file = shallowRef<Blob>()
  watch(
    () => toValue(id),
    async (wanted) => {
      const found = wanted ? await files.file(wanted) : undefined
      if (toValue(id) === wanted) file.value = found
    },
    { immediate: true },
  )
  return useObjectUrl(file)
}
