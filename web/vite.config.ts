import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** The server that `npm run dev` forwards `/api` to: a laptop, a Cloud9 machine or a deployed stack. */
const target = process.env.EASEL_TARGET ?? 'http://127.0.0.1:7860'

/** The files that the service worker keeps beside those that the build names by their content. */
const PUBLIC_FILES = ['./', 'theme.js', 'favicon.svg', 'manifest.webmanifest', 'icons/192.png']

/** Write sw.js, the service worker, with the names of the files that it keeps. */
function serviceWorker(): Plugin {
  return {
    name: 'easel:service-worker',
    apply: 'build',
    generateBundle(_, bundle) {
      const source = readFileSync(new URL('./src/offline/sw.js', import.meta.url), 'utf8')
      const files = JSON.stringify([
        ...PUBLIC_FILES,
        ...Object.keys(bundle).filter((name) => name.startsWith('assets/')),
      ])
      const version = createHash('sha256').update(source).update(files).digest('hex').slice(0, 12)
      const worker = source.replace('FILES = []', `FILES = ${files}`).replace("VERSION = ''", `VERSION = '${version}'`)
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: worker })
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [vue(), serviceWorker()],
  // What Vue and vue-i18n have for other styles of components, and nothing here uses.
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_I18N_FULL_INSTALL__: true,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: { target: 'es2022', modulePreload: { polyfill: false } },
  server: {
    port: 5173,
    proxy: { '/api': { target, changeOrigin: true, rewrite: (path) => path.replace(/^\/api/, '') } },
  },
  test: {
    environment: 'happy-dom',
    include: ['tests/**/*.test.ts'],
    server: { deps: { inline: ['element-plus'] } },
    isolate: false, // each file would import Element Plus again; the files pass in any order
    testTimeout: 60_000, // of a busy machine
    hookTimeout: 60_000,
  },
})
