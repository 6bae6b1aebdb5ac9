import type { ChosenControl, Parameters } from '@/api/types'

/** Parameters of an image, with the names of the files that it was generated from. */
interface CliRequest extends Omit<Parameters, 'control'> {
  model?: string
  init_image?: string
  mask_image?: string
  control?: (ChosenControl & { image: string })[]
}

type Option = [name: string, value?: string | number]

/** Return the command `easel generate` of an image. It reads the API key from EASEL_KEY, too. */
export function cliCommand(url: string, request: CliRequest): string {
  const words = options(url, request).flatMap(([name, value]) =>
    value === undefined ? [`--${name}`] : [`--${name}`, String(value)],
  )
  return `${['easel', 'generate', ...words, '--', request.prompt].map(quote).join(' ')}\n`
}

function options(url: string, request: CliRequest): Option[] {
  const { outpaint, hires, loras = [], images = [], control = [] } = request
  const sides = Object.entries(outpaint ?? {}).filter(([, pixels]) => pixels)
  const all: [string, string | number | undefined][] = [
    ['model', request.model],
    ['negative', request.negative_prompt || undefined],
    ['size', `${request.width}x${request.height}`],
    ['steps', request.num_inference_steps],
    ['guidance', request.guidance_scale],
    ['seed', request.seed],
    ['scheduler', request.scheduler],
    ['format', request.output_format],
    ['init-image', request.init_image],
    ['strength', request.strength],
    ['mask', request.mask_image],
    ['mask-blur', request.mask_blur],
    ['outpaint', sides.length ? sides.map(([side, pixels]) => `${side}=${pixels}`).join(',') : undefined],
    ...images.map((name): [string, string] => ['image', name]),
    ...control.map((item): [string, string] => ['control', controlOption(item)]),
    ...loras.map(({ id, scale }): [string, string] => ['lora', `${id}:${scale}`]),
    ['prompt-syntax', request.prompt_syntax],
    ['clip-skip', request.clip_skip],
    ['content', request.content],
    ['hires-scale', hires?.scale],
    ['hires-strength', hires?.strength],
    ['hires-steps', hires?.steps],
    ['url', url],
  ]
  return [
    ...all.filter(([, value]) => value !== undefined),
    ...(request.embed_parameters ? [['embed-parameters'] satisfies Option] : []),
  ]
}

function controlOption({ id, image, scale, start, end, preprocess }: ChosenControl & { image: string }): string {
  const values = [`${id}=${image}`, `scale=${scale}`, `start=${start}`, `end=${end}`]
  return [...values, ...(preprocess ? [`preprocess=${preprocess}`] : [])].join(',')
}

function quote(word: string): string {
  return /^[\w./:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
