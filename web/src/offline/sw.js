/**
 * The service worker: keeps the files of the page, so that it opens without a connection and shows the images of this
 * browser. It touches nothing else: requests of the API go to the network. vite.config.ts writes FILES and VERSION.
 */
const FILES = []
const VERSION = ''

const SCOPE = new URL(self.registration.scope)
/** Several Easels can be below paths of one host. */
const PREFIX = `easel ${SCOPE.pathname} `
const HASHED = 'assets/'
/** A proxy whose Easel does not run. */
const NO_UPSTREAM = [502, 503, 504]

addEventListener('install', (event) => {
  const requests = FILES.map((file) => new Request(file, { cache: file.startsWith(HASHED) ? 'default' : 'no-cache' }))
  event.waitUntil(caches.open(PREFIX + VERSION).then((cache) => cache.addAll(requests)))
  self.skipWaiting()
})

addEventListener('activate', (event) => {
  event.waitUntil(deleteOldCaches())
})

addEventListener('fetch', (event) => {
  const { request } = event
  const url = new URL(request.url)
  if (request.method !== 'GET' || url.origin !== SCOPE.origin || !url.pathname.startsWith(SCOPE.pathname)) return
  const file = url.pathname.slice(SCOPE.pathname.length).replace(/^(index\.html)?$/, './')
  if (!FILES.includes(file)) return
  event.respondWith(file.startsWith(HASHED) ? fromCache(request, file) : fromNetwork(request, file))
})

/** A click on a notification shows the page. */
addEventListener('notificationclick', (event) => {
  event.notification.close()
  event.waitUntil(showPage())
})

async function deleteOldCaches() {
  const names = await caches.keys()
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== PREFIX + VERSION)
  await Promise.all(old.map((name) => caches.delete(name)))
}

async function fromCache(request, file) {
  return (await kept(file)) ?? fetch(request)
}

async function fromNetwork(request, file) {
  try {
    const response = await fetch(request)
    return NO_UPSTREAM.includes(response.status) ? ((await kept(file)) ?? response) : response
  } catch (error) {
    const response = await kept(file)
    if (response) return response
    throw error
  }
}

async function kept(file) {
  return (await caches.open(PREFIX + VERSION)).match(file)
}

async function showPage() {
  const [page] = await self.clients.matchAll({ type: 'window' })
  await (page ? page.focus() : self.clients.openWindow(SCOPE.href))
}
