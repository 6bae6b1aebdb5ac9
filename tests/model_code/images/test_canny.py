"""Edges: those of OpenCV's Canny."""

import hashlib

import numpy as np
import pytest
from PIL import Image

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
