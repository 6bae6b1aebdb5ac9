import { createApp } from 'vue'
import App from './App.vue'
import { i18n } from './app/i18n'
import { applyLanguage } from './app/useLanguage'
import './styles/tokens.css'
import './styles/base.css'

// After a new build an open page may load a file that no longer exists: reload. Once per file, in case of a network error.
addEventListener('vite:preloadError', ({ payload: { message } }) => {
  if (sessionStorage.getItem('easel.missingFile') === message) return
  sessionStorage.setItem('easel.missingFile', message)
  location.reload()
})

await applyLanguage()
createApp(App).use(i18n).mount('#app')
