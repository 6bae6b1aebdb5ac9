"""Texts in image files, and the settings in an infotext, as /png-info returns them. Takes linear time."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator

MAX_TEXT_BYTES = 1 << 20
_SETTINGS = re.compile(r'\s*([^:,]{1,60}?):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})", re.ASCII)
_NEGATIVE = "Negative prompt:"
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286


def read_texts(file: bytes) -> dict[str, str]:
    """Return the texts of a PNG file by their keywords, or the EXIF comment of a WebP or JPEG as `parameters`."""
    try:
        if file.startswith(b"\x89PNG\r\n\x1a\n"):
            return dict(_png_texts(file))
        exif = _webp_exif(file) if file.startswith(b"RIFF") else _jpeg_exif(file)
        comment = _user_comment(exif.removeprefix(b"Exif\0\0"))
        return {"parameters": comment} if comment else {}
    except (struct.error, IndexError, ValueError):
        return {}  # damaged


def parse_infotext(text: str) -> dict[str, str]:
    """Return prompt, negative prompt and settings of an infotext; without settings an empty dict."""
    *lines, last = text.strip().split("\n") or [""]
    settings = {name.strip(): _unquoted(value) for name, value in _SETTINGS.findall(last)}
    if not last.startswith("Steps:") and len(settings) < 3:
        return {}
    prompt, _, negative = "\n".join(lines).partition(_NEGATIVE)
    for name, value in list(settings.items()):
        if size := _SIZE.fullmatch(value):
            settings[f"{name}-1"], settings[f"{name}-2"] = size.groups()
    return {"Prompt": prompt.strip(), "Negative prompt": negative.strip(), **settings}


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value


def _png_texts(file: bytes) -> Iterator[tuple[str, str]]:
    offset = 8
    while offset + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, offset)
        data = file[offset + 8 : offset + 8 + length]
        name, _, rest = data.partition(b"\0")
        if kind == b"tEXt":
            yield name.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"zTXt":
            yield name.decode("latin-1"), _inflate(rest[1:]).decode("latin-1")
        elif kind == b"iTXt":
            text = rest[2:].split(b"\0", 2)[2]
            yield name.decode("latin-1"), (_inflate(text) if rest[0] else text).decode("utf-8", "replace")
        offset += 12 + length


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _webp_exif(file: bytes) -> bytes:
    offset = 12
    while offset + 8 <= len(file):
        kind, length = struct.unpack_from("<4sI", file, offset)
        if kind == b"EXIF":
            return file[offset + 8 : offset + 8 + length]
        offset += 8 + length + length % 2
    return b""


def _jpeg_exif(file: bytes) -> bytes:
    offset = 2
    while offset + 4 <= len(file) and file[offset] == 0xFF and file[offset + 1] != 0xDA:
        data = file[offset + 4 : offset + 2 + int.from_bytes(file[offset + 2 : offset + 4])]
        if file[offset + 1] == 0xE1 and data.startswith(b"Exif\0\0"):
            return data
        offset += 4 + len(data)
    return b""


def _user_comment(exif: bytes) -> str:
    """Return the comment in an EXIF block: 8 bytes that name its encoding, then the text."""
    order = "<" if exif.startswith(b"II") else ">"
    pointer = _entry(exif, order, struct.unpack_from(f"{order}I", exif, 4)[0], _EXIF_POINTER)
    comment = _entry(exif, order, pointer[1], _USER_COMMENT) if pointer else None
    if not comment:
        return ""
    count, offset = comment
    encoding, text = exif[offset : offset + 8], exif[offset + 8 : offset + count]
    if encoding != b"UNICODE\0":
        return text.decode("utf-8", "replace").strip("\0")
    # Many writers use UTF-16 in the order of bytes of their machine, whatever the block says.
    little = text[1::2].count(0) > text[::2].count(0)
    return text.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0")


def _entry(exif: bytes, order: str, directory: int, tag: int) -> tuple[int, int] | None:
    """Return count and value of a directory's entry."""
    (entries,) = struct.unpack_from(f"{order}H", exif, directory)
    for i in range(entries):
        found, _, count, value = struct.unpack_from(f"{order}HHII", exif, directory + 2 + 12 * i)
        if found == tag:
            return count, value
    return None
