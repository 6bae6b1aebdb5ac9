import { ref, shallowRef, type Ref } from 'vue'
import { coverPlacement, type ImageSize } from '@/images/canvas'
import type { Stroke } from './edit'

export interface Brush {
  erases: boolean
  /** Pixels of the canvas. */
  diameter: number
}

interface Point {
  x: number
  y: number
}

const MOVES = new Map([
  ['ArrowLeft', [-1, 0]],
  ['ArrowRight', [1, 0]],
  ['ArrowUp', [0, -1]],
  ['ArrowDown', [0, 1]],
])
const PAINT_KEYS = [' ', 'Enter']
/** The bit of `buttons` of a pen's other end. */
const ERASER_BIT = 32
const ERASER_BUTTON = 5

/**
 * Strokes by mouse, pen, finger or keyboard, on a canvas of which an image covers all. Two fingers zoom instead.
 * `onPaint`: the stroke has grown; `onEnd`: it is complete, or null where it was given up.
 */
export function useBrush(
  canvas: Ref<HTMLCanvasElement | null>,
  options: { brush: () => Brush; image: () => ImageSize; onPaint: (part: Stroke) => void },
  onEnd: (stroke: Stroke | null) => void,
) {
  /** Where the brush is, in pixels of the canvas. */
  const cursor = ref<Point | null>(null)
  const stroke = shallowRef<Stroke | null>(null)
  let usesKeys = false

  function toImage({ x, y }: Point): [number, number] {
    const { width = 1, height = 1 } = canvas.value ?? {}
    const place = coverPlacement(options.image(), width, height)
    const round = (value: number) => Math.round(value * 10) / 10
    return [round((x - place.x) / place.scale), round((y - place.y) / place.scale)]
  }

  function begin(erases: boolean) {
    const { width = 1, height = 1 } = canvas.value ?? {}
    const { scale } = coverPlacement(options.image(), width, height)
    stroke.value = { kind: 'stroke', erases, radius: options.brush().diameter / 2 / scale, points: [] }
    extend()
  }

  /** Add the place of the brush to the stroke, if it is far enough from the last. */
  function extend() {
    if (!stroke.value || !cursor.value) return
    const { points, radius } = stroke.value
    const [x, y] = toImage(cursor.value)
    const [lastX, lastY] = points.slice(-2)
    if (lastX !== undefined && lastY !== undefined && Math.hypot(x - lastX, y - lastY) < radius / 8) return
    points.push(x, y)
    options.onPaint({ ...stroke.value, points: points.slice(-4) })
  }

  function end(isKept = true) {
    if (!stroke.value) return
    const ended = stroke.value
    stroke.value = null
    onEnd(isKept ? ended : null)
  }

  function follow({ clientX, clientY }: PointerEvent) {
    if (!canvas.value) return
    const box = canvas.value.getBoundingClientRect()
    cursor.value = {
      x: ((clientX - box.left) * canvas.value.width) / box.width,
      y: ((clientY - box.top) * canvas.value.height) / box.height,
    }
  }

  function onPointerdown(event: PointerEvent) {
    if (!event.isPrimary || ![0, ERASER_BUTTON].includes(event.button)) return
    canvas.value?.setPointerCapture(event.pointerId)
    follow(event)
    begin(options.brush().erases || (event.buttons & ERASER_BIT) > 0)
  }

  function onPointermove(event: PointerEvent) {
    if (!event.isPrimary) return
    const parts = event.getCoalescedEvents()
    for (const part of parts.length ? parts : [event]) {
      follow(part)
      extend()
    }
  }

  function onPointerleave() {
    if (!stroke.value) cursor.value = null
  }

  function onKeydown(event: KeyboardEvent) {
    if (!canvas.value || event.ctrlKey || event.metaKey || event.altKey) return
    const { width, height } = canvas.value
    cursor.value ??= { x: width / 2, y: height / 2 }
    const move = MOVES.get(event.key)
    if (move) {
      const step = event.shiftKey ? 1 : Math.max(1, options.brush().diameter / 2)
      const [x = 0, y = 0] = move
      cursor.value = {
        x: Math.min(width, Math.max(0, cursor.value.x + x * step)),
        y: Math.min(height, Math.max(0, cursor.value.y + y * step)),
      }
      extend()
    } else if (PAINT_KEYS.includes(event.key)) {
      if (!event.repeat) begin(options.brush().erases)
      usesKeys = true
    } else return
    event.preventDefault()
  }

  function onKeyup({ key }: KeyboardEvent) {
    if (usesKeys && PAINT_KEYS.includes(key)) end()
  }

  return {
    cursor,
    handlers: {
      pointerdown: onPointerdown,
      pointermove: onPointermove,
      pointerup: () => {
        end()
      },
      pointercancel: () => {
        end(false)
      },
      pointerleave: onPointerleave,
      keydown: onKeydown,
      keyup: onKeyup,
      blur: () => {
        end()
        cursor.value = null
      },
    },
  }
}
