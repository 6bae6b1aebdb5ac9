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
