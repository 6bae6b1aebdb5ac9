import { useLocalStorage } from '@vueuse/core'
import { computed } from 'vue'
import { createService, type Connection } from '@/api/service'

/** Where the API is; the key stays in this browser. */
export function useConnection() {
  const connection = useLocalStorage<Connection>('easel.connection', { url: '', key: '' }, { mergeDefaults: true })
  const service = computed(() => createService(connection.value))
  return { connection, service }
}
