"""Edges of an image after Canny, as ControlNets for edges were trained with: white lines of one pixel on black.

The steps and thresholds are those of OpenCV's `Canny(image, 100, 200)`. The serving image has no OpenCV.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WEAK, _STRONG = 100, 200
_TANGENT = np.tan(np.pi / 8)

_Array = NDArray[np.int16]
_Mask = NDArray[np.bool_]


def find_edges(image: Image.Image) -> Image.Image:
    """Return the edges of an RGB image as an RGB image of its size."""
    channels = np.pad(np.asarray(image.convert("RGB"), np.int16), ((1, 1), (1, 1), (0, 0)), mode="edge")
    across, down = _sobel(channels), _sobel(channels.swapaxes(0, 1)).swapaxes(0, 1)
    strength = np.abs(across) + np.abs(down)
    strongest = strength.argmax(axis=2)[..., None]  # OpenCV takes the channel with the strongest edge, too
    dx, dy, size = (np.take_along_axis(found, strongest, 2)[..., 0] for found in (across, down, strength))
    thin = _is_ridge(dx, dy, size)
    edges = _connected(thin & (size > _STRONG), thin & (size > _WEAK))
    return Image.fromarray((edges * np.uint8(255)).astype(np.uint8)).convert("RGB")


def _sobel(padded: _Array) -> _Array:
    """Return how much each channel grows from left to right."""
    smooth = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    grown: _Array = smooth[:, 2:] - smooth[:, :-2]
    return grown


def _is_ridge(dx: _Array, dy: _Array, size: _Array) -> _Mask:
    """Return which pixels have a stronger edge than their two neighbours across it."""
    around = np.pad(size, 1)
    rows, columns = size.shape

    def at(row: int, column: int) -> _Array:
        found: _Array = around[1 + row : 1 + row + rows, 1 + column : 1 + column + columns]
        return found

    flat, steep = np.abs(dy) < np.abs(dx) * _TANGENT, np.abs(dx) < np.abs(dy) * _TANGENT
    rising = (dx < 0) == (dy < 0)
    before = np.select([flat, steep, rising], [at(0, -1), at(-1, 0), at(-1, -1)], at(-1, 1))
    after = np.select([flat, steep, rising], [at(0, 1), at(1, 0), at(1, 1)], at(1, -1))
    ridge: _Mask = (size > before) & np.where(flat | steep, size >= after, size > after)
    return ridge


def _connected(strong: _Mask, weak: _Mask) -> _Mask:
    """Return the strong pixels, and the weak ones that a path of weak pixels connects with them."""
    rows, columns = weak.shape
    open_, edges = np.pad(weak, 1), np.pad(strong, 1)
    width = columns + 2
    neighbours = np.array([row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1)])
    flat_open, flat_edges = open_.ravel() & ~edges.ravel(), edges.ravel()
    frontier = np.flatnonzero(flat_edges)
    while frontier.size:
        reached = np.unique(frontier[:, None] + neighbours)
        frontier = reached[flat_open[reached]]
        flat_edges[frontier], flat_open[frontier] = True, False
    return flat_edges.reshape(rows + 2, width)[1:-1, 1:-1]
