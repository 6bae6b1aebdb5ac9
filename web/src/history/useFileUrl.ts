import { useObjectUrl } from '@vueuse/core'
import { shallowRef, toValue, watch, type MaybeRefOrGetter, type Ref } from 'vue'

interface Files {
  file(id: string): Promise<Blob | undefined>
}

/** An object URL of the image's file. It is revoked with the component. */
export function useFileUrl(files: Files, id: MaybeRefOrGetter<string | null>): Readonly<Ref<string | undefined>> {
  const file = shallowRef<Blob>()
  watch(
    () => toValue(id),
    async (requestedId) => {
      const loaded = requestedId ? await files.file(requestedId) : undefined
      if (toValue(id) === requestedId) file.value = loaded
    },
    { immediate: true },
  )
  return useObjectUrl(file)
}
