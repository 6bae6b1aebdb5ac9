"""The orientation in an EXIF block. Pillow would read the whole block, whose values can be larger than the file."""

import struct
from collections.abc import Mapping

from PIL.ExifTags import Base
from PIL.Image import Image, Transpose

_TRANSPOSE: Mapping[int, Transpose] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_BYTE_ORDERS: Mapping[bytes, str] = {b"II*\0": "<", b"MM\0*": ">"}
_INTEGERS: Mapping[int, str] = {1: "B", 3: "H", 4: "I"}
"""Types of TIFF."""


class OrientationError(ValueError):
    """An orientation that is not a number."""


def to_upright(image: Image, exif: bytes) -> Image:
    """Return the image as EXIF says that it is shown. Raises what `read_orientation` raises."""
    transpose = _TRANSPOSE.get(read_orientation(exif))
    return image if transpose is None else image.transpose(transpose)


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, or 1 if there is none.

    Raises OrientationError, or ValueError or struct.error if EXIF is damaged before an orientation is found.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    if not tiff.strip(b"\0"):
        return 1
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        raise ValueError("no TIFF header")
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for position in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, position)
        if tag == Base.Orientation:
            if count != 1 or kind not in _INTEGERS:
                raise OrientationError
            value: int = struct.unpack_from(order + _INTEGERS[kind], tiff, position + 8)[0]
            return value
    return 1
