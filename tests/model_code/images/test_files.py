import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from images import files as pictures

PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


@given(PICTURES)
def test_png_gives_every_pixel_back(pixels: pictures.Pixels) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(pictures.encode(pixels, "png")))), pixels)


def test_png_carries_nothing_but_the_picture() -> None:
    file = pictures.encode(np.zeros((9, 7, 3), np.uint8), "png")
    chunks, at = [], 8
    while at < len(file):
        chunks.append(file[at + 4 : at + 8])
        at += 12 + int.from_bytes(file[at : at + 4], "big")
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_lossy_formats_are_close_and_carry_no_metadata(name: str) -> None:
    slope = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.stack([np.tile(slope, (48, 1))] * 3, axis=2)
    image = Image.open(io.BytesIO(pictures.encode(pixels, name)))
    assert image.format == name.upper()
    assert image.size == (64, 48)
    assert not dict(image.getexif()) and "icc_profile" not in image.info
    assert abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean() < 4


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))
def test_crop_takes_the_middle(width: int, height: int, wider: int, taller: int) -> None:
    whole = np.zeros((height + taller, width + wider, 3), np.uint8)
    top, left = taller // 2, wider // 2
    whole[top : top + height, left : left + width] = 9
    assert np.array_equal(pictures.crop(whole, width, height), np.full((height, width, 3), 9))


@given(st.integers(8, 200), st.integers(8, 200))
def test_enlarge_keeps_proportions_and_extends_the_background(width: int, height: int) -> None:
    """A black frame around white stays a frame; what is added at two sides is more of it."""
    pixels = np.full((16, 16, 3), 255, np.uint8)
    pixels[[0, 1, -2, -1]] = 0
    pixels[:, [0, 1, -2, -1]] = 0
    enlarged = pictures.enlarge(pixels, width, height)
    assert enlarged.shape == (height, width, 3)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    assert np.array_equal(enlarged[top : top + side, left : left + side], pictures.enlarge(pixels, side, side))
    assert (enlarged[:top] == enlarged[top]).all() and (enlarged[:, :left] == enlarged[:, left : left + 1]).all()


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert np.array_equal(pictures.enlarge(pixels, 4, 5), pixels)
