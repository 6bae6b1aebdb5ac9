/** Return a canvas of the given size and its 2D context. Throws if the browser has no 2D canvas. */
export function createCanvas(
  width: number,
  height: number,
): { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D } {
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const context = canvas.getContext('2d')
  if (!context) throw new Error('The browser has no 2D canvas')
  return { canvas, context }
}

/** Encode a canvas, or return null if the browser cannot encode it. */
export function encodeCanvas(canvas: HTMLCanvasElement, mediaType: string, quality?: number): Promise<Blob | null> {
  return new Promise((resolve) => {
    canvas.toBlob(resolve, mediaType, quality)
  })
}
