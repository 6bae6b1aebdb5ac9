import { isObject, parseObject, type JsonObject } from './jsonSettings'
import { FieldCollector, type StoredParameters, type Texts } from './storedParameters'

interface Node {
  type: string
  inputs: JsonObject
}

type Graph = Map<string, Node>

const MAX_LINKS = 20
/** Nodes without settings of the image. */
const PLUMBING = ['VAEDecode', 'VAEEncode', 'SaveImage', 'PreviewImage', 'Reroute']
const TAKEN_INPUTS = ['seed', 'noise_seed', 'steps', 'cfg', 'sampler_name', 'scheduler', 'denoise']
const LINK_INPUTS = ['model', 'positive', 'negative', 'latent_image']

/** Return the parameters of ComfyUI's graph of nodes, or null if the file has none. */
export function readComfyUi(texts: Texts): StoredParameters | null {
  const graph = findGraph(texts)
  const workflow = findText(texts, 'workflow', 'Make')
  if (!graph && !Array.isArray(parseObject(workflow)?.nodes)) return null
  const fields = new FieldCollector()
  const used = graph ? takeGraph(graph, fields) : new Set<Node>()
  for (const [id, { type, inputs }] of graph ?? []) {
    const isUsed = [...used].some((node) => node.inputs === inputs)
    if (!isUsed && !PLUMBING.includes(type)) fields.reject(`${type} (${id})`, plainInputs(inputs))
  }
  if (!graph) fields.reject('workflow', workflow)
  return { source: 'ComfyUI', parameters: fields.parameters, notTaken: fields.notTaken }
}

function findText(texts: Texts, keyword: string, tag: string): string | null {
  const text = texts.get(tag)
  return texts.get(keyword) ?? (text?.startsWith(`${keyword}:`) ? text.slice(keyword.length + 1) : null)
}

function findGraph(texts: Texts): Graph | null {
  const graph: Graph = new Map()
  for (const [id, node] of Object.entries(parseObject(findText(texts, 'prompt', 'Model')) ?? {})) {
    if (isObject(node) && typeof node.class_type === 'string' && isObject(node.inputs))
      graph.set(id, { type: node.class_type, inputs: node.inputs })
  }
  return graph.size ? graph : null
}

/** Take the settings of the one sampler that starts from an empty image, or of the only one. Return the nodes used. */
function takeGraph(graph: Graph, fields: FieldCollector): Set<Node> {
  const samplers = [...graph.values()].filter(({ type }) => type === 'KSampler' || type === 'KSamplerAdvanced')
  const starting = samplers.filter((node) => sizeNode(graph, node))
  const sampler = starting.length === 1 ? starting[0] : samplers.length === 1 ? samplers[0] : undefined
  if (!sampler) return new Set()
  const used = new Set([sampler])
  takeSampler(sampler, fields)
  const size = sizeNode(graph, sampler)
  if (size) {
    used.add(size)
    fields.number('width', 'width', size.inputs.width)
    fields.number('height', 'height', size.inputs.height)
    if (size.inputs.batch_size !== 1) fields.reject('batch_size', size.inputs.batch_size)
  }
  for (const name of ['positive', 'negative'] as const) {
    const node = follow(graph, sampler.inputs[name], 'conditioning')
    const text = node && textOf(graph, node, used)
    if (typeof text === 'string') fields.parameters[name === 'positive' ? 'prompt' : 'negative_prompt'] = text
    else fields.reject(name, node?.type ?? sampler.inputs[name])
  }
  return used
}

function takeSampler({ type, inputs }: Node, fields: FieldCollector) {
  const { steps, cfg, denoise, sampler_name: sampler, scheduler } = inputs
  fields.number('seed', 'seed', inputs.seed ?? inputs.noise_seed)
  fields.number('num_inference_steps', 'steps', steps)
  fields.number('guidance_scale', 'cfg', cfg)
  // A denoise of 1 is generation without an initial image.
  if (denoise !== 1) fields.number('strength', 'denoise', denoise)
  if (typeof sampler === 'string')
    fields.scheduler('sampler_name', sampler, typeof scheduler === 'string' ? scheduler : '')
  else fields.reject('sampler_name', sampler)
  for (const [name, value] of Object.entries(inputs)) {
    if (![...TAKEN_INPUTS, ...LINK_INPUTS].includes(name)) fields.reject(`${type} ${name}`, value)
  }
}

/** Return the node that sets the size of the image from which the sampler starts. */
function sizeNode(graph: Graph, sampler: Node): Node | null {
  const node = follow(graph, sampler.inputs.latent_image, 'samples')
  return node && typeof node.inputs.width === 'number' && typeof node.inputs.height === 'number' ? node : null
}

/** Return the linked node. Reroutes, and nodes that only pass on the input `name`, are not followed further. */
function follow(graph: Graph, link: unknown, name: string): Node | null {
  let node = linked(graph, link)
  for (let i = 0; node?.type === 'Reroute' && i < MAX_LINKS; i++) {
    node = linked(graph, node.inputs[''] ?? node.inputs[name])
  }
  return node
}

function linked(graph: Graph, link: unknown): Node | null {
  return Array.isArray(link) ? (graph.get(String(link[0])) ?? null) : null
}

/** Return the text of a CLIPTextEncode, also one that another node has. */
function textOf(graph: Graph, node: Node, used: Set<Node>): string | null {
  if (node.type !== 'CLIPTextEncode') return null
  const source = linked(graph, node.inputs.text)
  const strings = Object.values(source?.inputs ?? {}).filter((value) => typeof value === 'string')
  const text = source ? (strings.length === 1 ? strings[0] : null) : node.inputs.text
  if (typeof text !== 'string') return null
  used.add(node)
  if (source) used.add(source)
  return text
}

function plainInputs(inputs: JsonObject): string {
  const plain = Object.entries(inputs).filter(([, value]) => !Array.isArray(value))
  return plain.map(([name, value]) => `${name}: ${String(isObject(value) ? '…' : value)}`).join(', ') || '…'
}
