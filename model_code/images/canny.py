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
    """Return the weak pixels that a path of weak pixels connects with a strong one. Strong pixels are weak, too."""
    count = int(np.count_nonzero(weak))
    numbers = np.full((weak.shape[0] + 1, weak.shape[1] + 2), -1, np.int32)
    pixels = numbers[:-1, 1:-1]
    pixels[weak] = np.arange(count)
    beside = (numbers[:-1, 2:], numbers[1:, :-2], numbers[1:, 1:-1], numbers[1:, 2:])
    both = [(pixels >= 0) & (found >= 0) for found in beside]
    first = np.concatenate([pixels[pair] for pair in both])
    second = np.concatenate([found[pair] for found, pair in zip(beside, both, strict=True)])
    reached = np.zeros(count, np.bool_)
    roots = _roots(count, first, second)
    reached[roots[pixels[strong]]] = True
    edges = np.zeros_like(weak)
    edges[weak] = reached[roots]
    return edges


def _roots(count: int, first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return for each of `count` items the smallest that pairs of `first` and `second` connect with it.

    It takes a few rounds, however long the paths are. Pixel by pixel along them, an image made for it takes minutes.
    """
    roots = np.arange(count, dtype=np.int32)
    while first.size:
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(roots, nearer := roots[roots]):
            roots = nearer
        first, second = roots[first], roots[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return roots
