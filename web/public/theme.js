// Set the theme before the first paint, so that a dark page does not flash white.
{
  const theme = localStorage.getItem('easel.theme')
  const dark = theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
}
