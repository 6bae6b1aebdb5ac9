import { createApp } from 'vue'
import App from './App.vue'
import { speak } from './composables/useLanguage'
import { i18n } from './i18n'
import './styles/tokens.css'
import './styles/base.css'

await speak()
createApp(App).use(i18n).mount('#app')
