"""Orientation and colors in an EXIF block. Pillow would read the whole block, whose values can exceed the file."""

import struct
from collections.abc import Iterator, Mapping

from PIL.ExifTags import IFD, Base
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
_INTEROP_INDEX, _ADOBE_INDEX = 1, b"R03\0"
"""Source: DCF 2.0, where R03 is "DCF optional file": Adobe RGB."""


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
    tiff = _tiff(exif)
    if not tiff:
        return 1
    for tag, kind, count, value in _entries(tiff, _number(tiff, "I", tiff[4:8])):
        if tag == Base.Orientation:
            if count != 1 or kind not in _INTEGERS:
                raise OrientationError
            return _number(tiff, _INTEGERS[kind], value)
    return 1


def is_adobe_rgb(exif: bytes) -> bool:
    """Return whether a camera says that the colors are Adobe RGB (1998). False if EXIF is damaged."""
    try:
        tiff = _tiff(exif)
        index = _find(tiff, IFD.Exif, IFD.Interop, _INTEROP_INDEX) if tiff else None
        return index == _ADOBE_INDEX
    except (ValueError, struct.error):
        return False


def _find(tiff: bytes, *tags: int) -> bytes | None:
    """Return the four bytes of the last tag's value; each tag before it points to the directory of the next."""
    value: bytes | None = tiff[4:8]
    for wanted in tags:
        directory = _number(tiff, "I", value) if value else 0
        value = next((value for tag, _, _, value in _entries(tiff, directory) if tag == wanted), None)
        if value is None:
            return None
    return value


def _tiff(exif: bytes) -> bytes:
    """Return the TIFF file in EXIF; empty if there is none. Raises ValueError: it is no TIFF file."""
    tiff = exif.removeprefix(b"Exif\0\0")
    if not tiff.strip(b"\0"):
        return b""
    if tiff[:4] not in _BYTE_ORDERS:
        raise ValueError("no TIFF header")
    return tiff


def _entries(tiff: bytes, directory: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (tag, type, count, the four bytes of the value or of its position) of a directory."""
    order = _BYTE_ORDERS[tiff[:4]]
    (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for position in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count, value = struct.unpack_from(f"{order}HHI4s", tiff, position)
        yield tag, kind, count, value


def _number(tiff: bytes, kind: str, value: bytes) -> int:
    number: int = struct.unpack_from(_BYTE_ORDERS[tiff[:4]] + kind, value)[0]
    return number
