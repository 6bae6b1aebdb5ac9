"""The parts of an image file that decoding needs. Other metadata is left out before Pillow reads the file.

Pillow reads metadata in time and memory that a small file can make very large. Here all is linear.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract import IMAGE_PARTS

MAX_SCANS = 100
"""Of a JPEG. Each scan passes over the whole image; encoders write at most a few dozen."""
MAX_PROFILE_BYTES = 4 * 2**20
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_SRGB: Mapping[bytes, bytes] = {
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"cICP": bytes((1, 13, 0, 1)),
    b"gAMA": struct.pack(">I", 45455),
}
"""Chunks that describe colors in another way than an ICC profile, and their content in a file that is sRGB."""
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""libjpeg skips everything between markers. Restart markers (D0 to D7) are part of a scan."""
_SOI, _EOI, _SOS, _TEM, _APP0, _APP1, _APP2, _APP14, _COM = 0xD8, 0xD9, 0xDA, 0x01, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE


class FileError(ValueError):
    """A file that is not decoded. The message says why."""


@dataclass
class ImageParts:
    """A file without metadata, and the metadata that matters to its pixels."""

    pixels: bytes
    exif: bytes | None = None
    profile: bytes | None = None
    """ICC; empty if it is damaged."""
    other_color: str = ""
    """The name of a chunk that describes colors other than sRGB."""
    animated: bool = False
    bits: int = 8
    """Per channel."""


def split_file(file: bytes) -> ImageParts:
    """Return the parts of a PNG or JPEG; a WebP whole. Raises FileError or struct.error if the file is damaged."""
    if file.startswith(_PNG_SIGNATURE):
        return _split_png(file)
    return _split_jpeg(file) if file.startswith(b"\xff\xd8") else ImageParts(file)


def _split_png(file: bytes) -> ImageParts:
    """Return the chunks of the still image. The chunks of an animation and of texts are left out."""
    pixels, metadata = [_PNG_SIGNATURE], dict[bytes, bytes]()
    for kind, chunk in _png_chunks(file):
        if kind in _PNG_PIXELS:
            pixels.append(chunk)
        else:
            metadata[kind] = chunk[8:-4]
        if len(pixels) > IMAGE_PARTS:
            raise FileError(f"it has more than {IMAGE_PARTS} chunks")
    parts = ImageParts(b"".join(pixels), metadata.get(b"eXIf"))
    parts.bits = file[24]
    parts.animated = int.from_bytes(metadata.get(b"acTL", b"")[:4], "big") > 1
    if b"iCCP" in metadata:
        parts.profile = _inflate_profile(metadata[b"iCCP"])
    elif b"sRGB" not in metadata:
        unusual = (kind for kind, content in _PNG_SRGB.items() if metadata.get(kind, content) != content)
        parts.other_color = next(unusual, b"").decode()
    return parts


def _png_chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, whole chunk). The last chunk may be truncated."""
    position, kind = len(_PNG_SIGNATURE), b""
    while position < len(file) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", file, position)
        yield kind, file[position : position + length + 12]
        position += length + 12


def _inflate_profile(chunk: bytes) -> bytes:
    """Return the profile in an iCCP chunk: name, NUL, compression method, zlib stream."""
    try:
        return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""


def _split_jpeg(file: bytes) -> ImageParts:
    """Return the first image without its metadata; a phone puts a second one after it."""
    kept, exif, profile, scans, number = [b"\xff\xd8"], None, dict[int, bytes](), 0, 0
    for number, (marker, segment, rest) in enumerate(_jpeg_segments(file)):
        content = segment[4:]
        scans += marker == _SOS
        if scans > MAX_SCANS:
            raise FileError(f"it has more than {MAX_SCANS} scans")
        if number > IMAGE_PARTS:
            raise FileError(f"it has more than {IMAGE_PARTS} segments")
        if marker == _APP1 and content.startswith(b"Exif\0\0"):
            exif = exif or content
        elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0"):
            profile[content[12]] = content[13:]
        elif not (_APP0 < marker <= _APP0 + 15 and marker != _APP14) and marker != _COM:
            kept += (segment, rest) if marker == _SOS else (segment,)
    return ImageParts(b"".join(kept), exif, _join_profile(profile))


def _jpeg_segments(file: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (marker, segment, what follows it up to the next marker): after SOS, the data of the scan."""
    found = _JPEG_MARKER.search(file, 2)
    while found:
        start, end, marker = found.end() - 2, found.end(), found[1][0]
        if marker not in (_SOI, _EOI, _TEM):
            end += max(2, int.from_bytes(file[end : end + 2], "big"))
        found = None if marker == _EOI else _JPEG_MARKER.search(file, end)
        yield marker, file[start:end], file[end : found.start() if found else len(file)]


def _join_profile(pieces: Mapping[int, bytes]) -> bytes | None:
    """Return the profile in APP2 segments by number; each starts with how many there are."""
    if not pieces:
        return None
    complete = all(piece[:1] == bytes([len(pieces)]) for piece in pieces.values())
    return b"".join(pieces[number][1:] for number in sorted(pieces)) if complete else b""
