"""Image files: formats, metadata, cropping and upscaling."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from bench.inference.photo import photo
from images import png
from images.files import Pixels, crop_center, encode_image, upscale

PIXELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


@given(PIXELS)
def test_png_is_lossless(pixels: Pixels) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(pixels, "png")))), pixels)


@pytest.mark.parametrize("library", ["isal", "zlib"])
@given(PIXELS)
def test_png_has_the_pixels_and_the_text_of_pillows(library: str, pixels: Pixels) -> None:
    """With isal, where it is installed, and without."""
    compressor = pytest.importorskip("isal.isal_zlib") if library == "isal" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "isal_zlib", compressor)
        file = Image.open(io.BytesIO(encode_image(pixels, "png", "一只猫, a cat")))
    assert np.array_equal(np.asarray(file), pixels)
    assert (file.mode, file.info) == ("RGB", {"parameters": "一只猫, a cat"})


def test_png_of_a_photograph_is_hardly_larger_than_pillows() -> None:
    pixels, pillow = photo(256, 192), io.BytesIO()
    Image.fromarray(pixels).save(pillow, "PNG")
    assert len(encode_image(pixels, "png")) < 1.1 * len(pillow.getvalue())


def test_png_of_pixels_that_are_not_contiguous() -> None:
    pixels = crop_center(photo(64, 48), 17, 9)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(pixels, "png")))), pixels)


def test_png_has_no_metadata() -> None:
    file = encode_image(np.zeros((9, 7, 3), np.uint8), "png")
    chunks, position = [], 8
    while position < len(file):
        chunks.append(file[position + 4 : position + 8])
        position += 12 + int.from_bytes(file[position : position + 4], "big")
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_lossy_formats_are_close_and_have_no_metadata(name: str) -> None:
    gradient = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.stack([np.tile(gradient, (48, 1))] * 3, axis=2)
    image = Image.open(io.BytesIO(encode_image(pixels, name)))
    assert image.format == name.upper()
    assert image.size == (64, 48)
    assert not dict(image.getexif()) and "icc_profile" not in image.info
    assert abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean() < 4


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))
def test_crop_center(width: int, height: int, extra_width: int, extra_height: int) -> None:
    pixels = np.zeros((height + extra_height, width + extra_width, 3), np.uint8)
    top, left = extra_height // 2, extra_width // 2
    pixels[top : top + height, left : left + width] = 9
    assert np.array_equal(crop_center(pixels, width, height), np.full((height, width, 3), 9))


@given(st.integers(8, 200), st.integers(8, 200))
def test_upscale_keeps_proportions_and_extends_the_edges(width: int, height: int) -> None:
    """A white square in a black frame: the frame stays, and its color fills the rest."""
    pixels = np.full((16, 16, 3), 255, np.uint8)
    pixels[[0, 1, -2, -1]] = 0
    pixels[:, [0, 1, -2, -1]] = 0
    upscaled = upscale(pixels, width, height)
    assert upscaled.shape == (height, width, 3)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    assert np.array_equal(upscaled[top : top + side, left : left + side], upscale(pixels, side, side))
    assert (upscaled[:top] == upscaled[top]).all() and (upscaled[:, :left] == upscaled[:, left : left + 1]).all()


def test_an_image_of_the_right_size_is_not_changed() -> None:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert np.array_equal(upscale(pixels, 4, 5), pixels)
