import { useLocalStorage } from '@vueuse/core'
import { computed } from 'vue'
import { createService, type Connection } from './service'

/** The API's address and key, kept in this browser, and the service they reach. */
export function useConnection() {
  const connection = useLocalStorage<Connection>('easel.connection', { url: '', key: '' }, { mergeDefaults: true })
  const service = computed(() => createService(connection.value))
  return { connection, service }
}
