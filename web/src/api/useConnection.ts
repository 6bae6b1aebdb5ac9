import { useLocalStorage } from '@vueuse/core'
import { computed, inject } from 'vue'
import { sessionKey } from '@/sign-in/config'
import { createService, type Connection } from './service'

/** The page's own API. */
export const OWN: Connection = { url: '', key: '' }

/**
 * The API's address and key, kept in this browser, and the service they reach. Where people sign in, tokens go to the
 * page's own API only, without a key.
 */
export function useConnection() {
  const connection = useLocalStorage<Connection>('easel.connection', { ...OWN }, { mergeDefaults: true })
  const session = inject(sessionKey, null)
  const service = computed(() => (session ? createService(OWN, session) : createService(connection.value)))
  return { connection, service, session }
}
