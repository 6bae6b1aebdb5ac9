import { createApp } from 'vue'
import App from './App.vue'
import { speak } from './composables/useLanguage'
import { i18n } from './i18n'
import './styles/tokens.css'
import './styles/base.css'

// After a new build an open page may ask for a file that is there no more. Once a file: it may be the line that is down.
addEventListener('vite:preloadError', ({ payload: { message } }) => {
  if (sessionStorage.getItem('easel.missed') === message) return
  sessionStorage.setItem('easel.missed', message)
  location.reload()
})

await speak()
createApp(App).use(i18n).mount('#app')
