"""Edges: those of OpenCV's Canny."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from images.canny import find_edges


def pattern(width: int, height: int) -> Image.Image:
    """Return an image with edges in all directions, of all strengths, in each channel."""
    y, x = np.mgrid[:height, :width]
    channels = [(x * x * factor + y * y * 3) // 16 % 512 for factor in (1, 2, 3)]
    return Image.fromarray(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        ((64, 48), "882a40d80c1ac892535da6c51a0f259b"),
        ((61, 97), "ec1cd9d015a332ad4b185d5f41818f9c"),
        ((9, 1), "3e7077fd2f66d689e0cee6a7cf5b37bf"),
    ],
)
def test_the_edges_are_those_of_opencv_5(size: tuple[int, int], digest: str) -> None:
    edges = np.asarray(find_edges(pattern(*size)))
    assert edges.shape == (size[1], size[0], 3)
    assert (edges == edges[..., :1]).all()
    assert hashlib.sha256(edges[..., 0].tobytes()).hexdigest()[:32] == digest


def test_a_plain_image_has_no_edges() -> None:
    assert not np.asarray(find_edges(Image.new("RGB", (64, 64), "red"))).any()


@pytest.mark.parametrize("bright", [False, True])
def test_a_faint_line_is_an_edge_as_far_as_a_bright_point_connects_it(bright: bool) -> None:
    image = Image.new("RGB", (200, 200))
    rows = range(10, 190, 12)
    corners = [(x, y) for i, y in enumerate(rows) for x in ((10, 190) if i % 2 == 0 else (190, 10))]
    canvas = ImageDraw.Draw(image)
    canvas.line(corners, fill=(32, 32, 32), width=3)
    canvas.line([(60, 194), (140, 194)], fill=(32, 32, 32), width=3)
    if bright:
        canvas.rectangle((8, 8, 14, 12), fill="white")
    edges = np.asarray(find_edges(image))[..., 0] > 0
    assert [bool(edges[y - 3 : y + 4, 20:180].any(axis=0).all()) for y in rows] == [bright] * len(rows)
    assert not edges[192:].any()
