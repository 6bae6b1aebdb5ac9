import { describe, expect, test } from 'vitest'
import { renderSnippet, SNIPPET_LANGUAGES } from '@/stage/snippets/codeSnippets'
import { fromFragment, toShareLink } from '@/stage/shareLink'
import { PARAMETERS } from './data'

describe('share link', () => {
  test('contains all parameters', () => {
    const all = { ...PARAMETERS, clip_skip: 2, hires: { scale: 1.5, strength: 0.5, steps: 20 } }
    const { negative_prompt, ...parameters } = all
    expect(fromFragment(new URL(toShareLink('http://127.0.0.1:7860/#old', all, '')).hash)?.parameters).toEqual(
      parameters,
    )
  })

  test.each(['', '#', '#seed=7', '#width=x'])('%j has no parameters', (fragment) => {
    expect(fromFragment(fragment)).toBeNull()
  })

  test('values that are not numbers are left out', () => {
    expect(fromFragment('#prompt=a&seed=7seven&width=&hires=2')).toMatchObject({
      parameters: { prompt: 'a' },
      notTaken: [
        { name: 'seed', value: '7seven' },
        { name: 'hires', value: '2' },
      ],
    })
  })
})

test('a link names the images that it does not hold', () => {
  const margins = { left: 0, right: 64, top: 0, bottom: 0 }
  const link = toShareLink(
    'http://127.0.0.1:7860/',
    {
      ...PARAMETERS,
      strength: 1,
      mask_mode: 'white',
      outpaint: margins,
    },
    'emoji',
  )
  const names = fromFragment(new URL(link).hash)?.notTaken.map(({ name }) => name)
  expect(names).toEqual(['Model', 'init_image', 'mask_image', 'outpaint'])
})

test.each(['curl', 'python', 'javascript'] as const)(
  'the %s snippet reads the API key from the environment if one is needed',
  (language) => {
    expect(renderSnippet(language, 'https://x.example', PARAMETERS, false)).not.toContain('EASEL_KEY')
    expect(renderSnippet(language, 'https://x.example', PARAMETERS, true)).toContain('EASEL_KEY')
  },
)

test.each(SNIPPET_LANGUAGES)('the %s snippet reads the init image alone if there is no mask', (language) => {
  const code = renderSnippet(language, 'https://x.example', { ...PARAMETERS, strength: 0.5 }, false)
  expect(code).toContain('start.png')
  expect(code).not.toContain('mask.png')
})
