// Where the browser blocks storage, even reading the name throws: keep values until the page is closed.
for (const name of ['localStorage', 'sessionStorage']) {
  try {
    window[name].getItem('')
  } catch {
    const values = new Map()
    const value = {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, text) => void values.set(key, String(text)),
      removeItem: (key) => void values.delete(key),
    }
    Object.defineProperty(window, name, { value })
  }
}

// Set the theme before the first paint, so that a dark page does not flash white.
{
  const theme = localStorage.getItem('easel.theme')
  const dark = theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
}

// Say so if the scripts of the page are refused, as by an API behind a proxy. Mounting the page removes the message.
addEventListener(
  'error',
  ({ target }) => {
    const message = document.querySelector('#startup-failure')
    if (message && (target === window || target.matches('script, link[rel=stylesheet]'))) message.hidden = false
  },
  true,
)
