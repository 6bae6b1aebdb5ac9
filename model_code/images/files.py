"""Image files from pixels, and sizes of images."""

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from images.png import encode_png

Pixels = NDArray[np.uint8]
"""One image: (height, width, 3), RGB."""

_SAVE_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "webp": {"quality": 90, "method": 0},
    "jpeg": {"quality": 90},
}


_ONE_ENTRY = ">HHHIII"
"""A directory with one entry: number of entries, tag, type, count, value or offset, no further directory."""
_LONG, _UNDEFINED = 4, 7
"""Types of TIFF."""
_IFD0_OFFSET = 8
_EXIF_OFFSET = _IFD0_OFFSET + struct.calcsize(_ONE_ENTRY)
_COMMENT_OFFSET = _EXIF_OFFSET + struct.calcsize(_ONE_ENTRY)


def encode_image(pixels: Pixels, output_format: str, infotext: str = "") -> bytes:
    """Return a file of a format of the contract. Its only metadata is `infotext`, stored where AUTOMATIC1111 does."""
    if output_format == "png":
        return encode_png(pixels, _text_chunks(infotext) if infotext else None)
    file = io.BytesIO()
    options = {**_SAVE_OPTIONS[output_format], **({"exif": _user_comment(infotext)} if infotext else {})}
    Image.fromarray(pixels).save(file, output_format, **options)
    return file.getvalue()


def _text_chunks(text: str) -> PngInfo:
    """Return chunk `parameters`: tEXt, or iTXt for text beyond Latin-1."""
    chunks = PngInfo()
    chunks.add_text("parameters", text)
    return chunks


def _user_comment(text: str) -> bytes:
    """Return an EXIF block with the UserComment alone.

    Pillow would give it the type BYTE, which other readers refuse, and write it little-endian, against the text.
    """
    comment = b"UNICODE\0" + text.encode("utf-16-be")
    header = struct.pack(">2sHI", b"MM", 42, _IFD0_OFFSET)
    pointer = struct.pack(_ONE_ENTRY, 1, IFD.Exif, _LONG, 1, _EXIF_OFFSET, 0)
    entry = struct.pack(_ONE_ENTRY, 1, Base.UserComment, _UNDEFINED, len(comment), _COMMENT_OFFSET, 0)
    return b"Exif\0\0" + header + pointer + entry + comment


def crop_center(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the center of an image, or all of a side that is shorter."""
    top, left = max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def upscale(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the whole image in its own proportions (Lanczos); the rest of the area repeats its edges."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner_width, inner_height = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    resized = np.asarray(Image.fromarray(pixels).resize((inner_width, inner_height), Image.Resampling.LANCZOS))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    margins = ((top, height - inner_height - top), (left, width - inner_width - left), (0, 0))
    return np.pad(resized, margins, mode="edge")
