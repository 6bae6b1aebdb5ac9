import { createApp } from 'vue'
import App from './App.vue'
import { i18n } from './app/i18n'
import { applyLanguage } from './app/useLanguage'
import { readSignInConfig, sessionKey } from './sign-in/config'
import './styles/tokens.css'
import './styles/base.css'

// After a new build an open page may load a file that no longer exists: reload. Once per file, in case of a network
// error, and so not where public/theme.js had to replace the storage: a reload forgets what it has.
addEventListener('vite:preloadError', ({ payload: { message } }) => {
  if (!(sessionStorage instanceof Storage) || sessionStorage.getItem('easel.missingFile') === message) return
  sessionStorage.setItem('easel.missingFile', message)
  location.reload()
})

// Without HTTPS, other machines than this have no service worker, and the page needs a connection.
if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  void navigator.serviceWorker.register('./sw.js', { updateViaCache: 'none' }).catch(() => undefined)
}

await applyLanguage()
const signIn = readSignInConfig()
const session = signIn && (await (await import('./sign-in/session')).openSession(signIn))
createApp(App).use(i18n).provide(sessionKey, session).mount('#app')
