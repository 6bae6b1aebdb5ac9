"""Damaged files, and files that are made to take long: each is `bad_image`, and soon."""

import base64
import functools
import json
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contract import IMAGE_PARTS, INIT_IMAGE_BYTES, INIT_IMAGE_PIXELS, EaselError, image_size
from images import containers
from images.init_image import decode_init_image
from tests.model_code.conftest import PROFILE
from tests.model_code.images import icc
from tests.model_code.images.test_init_image import chunk, encode, error_of, exif, insert_chunk

SECONDS = 5.0
"""A second would do; the measurement of the coverage and a busy machine slow the parsers."""
BYTES = INIT_IMAGE_BYTES


def image(mode: str = "RGB", side: int = 16) -> Image.Image:
    return Image.effect_noise((side, side), 60).convert("RGB").convert(mode)


def jpeg_with(content: bytes, marker: int = 0xE1) -> bytes:
    """Return a JPEG with a segment."""
    file = encode(image(), "JPEG")
    return file[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + file[2:]


ORIENTATION_BEYOND_THE_END = b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x0112, 3, 99, 2**31) + bytes(4)
BAD_EXIF = {
    "junk": b"junk",
    "header": b"MM\0*",
    "directory": b"MM\0*\xff\xff\xff\xff",
    "entries": b"II*\0\x08\0\0\0\xff\xff",
    "orientation": ORIENTATION_BEYOND_THE_END,
    "type": b"MM\0*" + struct.pack(">IHHHI4s", 8, 1, 0x0112, 2, 1, b"6\0\0\0"),
}


def file_with_exif(kind: str, block: bytes) -> bytes:
    if kind == "PNG":
        return insert_chunk(encode(image()), b"eXIf", block)
    return encode(image(), "WEBP", exif=block) if kind == "WEBP" else jpeg_with(b"Exif\0\0" + block)


@pytest.mark.parametrize("name", BAD_EXIF)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_is_bad_image_only_where_it_hides_an_orientation(kind: str, name: str) -> None:
    file = file_with_exif(kind, BAD_EXIF[name])
    if kind == "PNG" or name in ("orientation", "type"):
        assert error_of(file).code == "bad_image"
        return
    decoded = decode_init_image(file, INIT_IMAGE_PIXELS)
    assert decoded.image.size == (16, 16)
    assert len(decoded.warnings) == 1 and "EXIF" in decoded.warnings[0]


@pytest.mark.parametrize("block", [b"", bytes(1), bytes(60)])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_empty_exif_does_not_matter(kind: str, block: bytes) -> None:
    assert decode_init_image(file_with_exif(kind, block), INIT_IMAGE_PIXELS).warnings == ()


def test_the_response_is_bad_image_and_never_model_error(model: Any, send: Any) -> None:
    """The three files of the report."""
    model.profile = replace(PROFILE, image_to_image=True)
    palette = encode(image("P"), transparency=0)
    too_long = palette.replace(chunk(b"tRNS", b"\0"), chunk(b"tRNS", bytes(300)))
    assert too_long != palette
    files = (
        insert_chunk(encode(image()), b"eXIf", b"junk"),
        jpeg_with(b"Exif\0\0" + ORIENTATION_BEYOND_THE_END),
        too_long,
    )
    for file in files:
        error = send(model, init_image=base64.b64encode(file).decode()).get("error")
        assert error and (error["code"], error["param"]) == ("bad_image", "init_image")


def valid_files() -> list[bytes]:
    metadata: dict[str, Any] = {"icc_profile": icc.display_p3(), "exif": b"Exif\0\0" + exif(6)}
    return [
        *(encode(image(mode), **metadata) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(encode(image(mode), "JPEG", progressive=True, **metadata) for mode in ("L", "RGB", "CMYK")),
        *(encode(image("RGBA"), "WEBP", lossless=lossless, **metadata) for lossless in (False, True)),
    ]


def repair_crc(file: bytes) -> bytes:
    """Return a PNG with correct checksums, so that its content is read."""
    position, parts = 8, [file[:8]]
    while position + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, position)
        parts.append(chunk(kind, file[position + 8 : position + 8 + length]))
        position += 12 + length
    return b"".join(parts)


VALID = valid_files()


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=5), st.integers(0, 9)), min_size=1, max_size=6),
    st.booleans(),
)
def test_no_damage_is_anything_but_bad_image(file: bytes, damage: list[tuple[float, bytes, int]], repair: bool) -> None:
    for place, new, removed in damage:
        position = int(place * len(file))
        file = file[:position] + new + file[position + removed :]
    if repair and file.startswith(b"\x89PNG"):
        file = repair_crc(file)
    try:
        assert decode_init_image(file, 1_000_000).image.mode == "RGB"
    except EaselError as error:
        assert error.code in ("bad_image", "out_of_range")


# --- files that are made to take long ------------------------------------------------------------


def scans(file: bytes) -> list[bytes]:
    return [segment + rest for marker, segment, rest in containers._jpeg_segments(file) if marker == 0xDA]


def progressive(count: int, mode: str = "L") -> bytes:
    """Return a JPEG of 4096x4096 pixels whose smallest scan is repeated until there are `count`."""
    file = encode(Image.new(mode, (4096, 4096), 99), "JPEG", progressive=True)
    written = scans(file)
    return file[:-2] + min(written, key=len) * (count - len(written)) + file[-2:]


@pytest.mark.parametrize("count", [containers.MAX_SCANS + 1, 90_000])
def test_a_jpeg_with_many_scans_is_refused_at_once(count: int) -> None:
    file = progressive(count)
    assert len(file) <= BYTES
    started = time.process_time()
    error = error_of(file)
    assert time.process_time() - started < SECONDS
    assert (error.code, str(containers.MAX_SCANS) in error.message) == ("bad_image", True)


def test_a_jpeg_with_few_scans_is_decoded() -> None:
    assert decode_init_image(progressive(containers.MAX_SCANS), INIT_IMAGE_PIXELS).image.size == (4096, 4096)


def scans_hidden_in(filler: bytes) -> bytes:
    """Return the same with bytes that libjpeg skips before each scan."""
    file = encode(Image.new("L", (64, 64), 99), "JPEG", progressive=True)
    scan = min(scans(file), key=len)
    return file[:-2] + (filler + scan) * 5_000 + file[-2:]


@pytest.mark.parametrize("filler", [b"\xff" * 9, b"\0junk", b"\xff\xd0", b"\xff\0", b"\xff\x01"])
def test_scans_are_counted_wherever_libjpeg_finds_them(filler: bytes) -> None:
    assert "scans" in error_of(scans_hidden_in(filler)).message


@functools.cache
def valid_parts() -> tuple[bytes, bytes]:
    """Return a PNG and a JPEG."""
    return encode(image()), encode(image(), "JPEG")


def png_with(parts: bytes) -> bytes:
    png, _ = valid_parts()
    return png[:33] + parts + png[33:]


def png_with_chunk(kind: bytes, content: bytes) -> bytes:
    return insert_chunk(valid_parts()[0], kind, content)


def jpeg_beginning_with(parts: bytes) -> bytes:
    _, jpeg = valid_parts()
    return jpeg[:2] + parts + jpeg[2:]


def jpeg_ending_with(parts: bytes) -> bytes:
    _, jpeg = valid_parts()
    return jpeg[:-2] + parts + jpeg[-2:]


def compressed_text() -> bytes:
    return chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20), 9))


def exif_block() -> bytes:
    entries = b"".join(struct.pack(">HHII", tag, 1, 2**20, 8) for tag in range(65_535))
    return b"MM\0*\0\0\0\x08\xff\xff" + entries + bytes(2**20)


def exif_segment() -> bytes:
    return b"\xff\xe1" + struct.pack(">H", 65_000) + (b"Exif\0\0" + exif_block())[:64_998]


LONG_FILES: dict[str, Callable[[], bytes]] = {
    "empty IDAT chunks": lambda: png_with(chunk(b"IDAT", b"") * (BYTES // 12 - 99)),
    "texts": lambda: png_with(chunk(b"tEXt", b"a\0b") * 190_000),
    "compressed texts": lambda: png_with(compressed_text() * 2_500),
    "a compressed profile": lambda: png_with_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**28), 1)),
    "an EXIF block whose values overlap": lambda: png_with_chunk(b"eXIf", exif_block()),
    "EXIF segments": lambda: jpeg_beginning_with(exif_segment() * 45),
    "comments": lambda: jpeg_beginning_with(b"\xff\xfe\0\2" * 780_000),
    "parameterless markers": lambda: jpeg_beginning_with(b"\xff\x01" * 1_500_000),
    "restart markers": lambda: jpeg_ending_with(b"\xff\xd0" * 1_500_000),
    "fill bytes": lambda: jpeg_beginning_with(b"\xff" * 3_000_000 + b"\0"),
    "fill bytes in a scan": lambda: jpeg_ending_with(b"\xff" * 3_000_000 + b"\0"),
    "stuffed bytes": lambda: jpeg_beginning_with(b"\xff\0" * 1_500_000),
    "quantization tables": lambda: jpeg_beginning_with((b"\xff\xdb\0\x43\0" + bytes([1] * 64)) * 45_000),
}
"""Files of almost the largest size, each with one kind of part without end."""


@pytest.mark.parametrize("name", LONG_FILES)
def test_parts_without_end_take_no_time(name: str) -> None:
    file = LONG_FILES[name]()
    assert len(file) <= BYTES
    started = time.process_time()
    try:
        decode_init_image(file, INIT_IMAGE_PIXELS)
    except EaselError as error:
        assert error.code == "bad_image"
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("more", [0, 1])
def test_the_number_of_segments_is_bounded(more: int) -> None:
    """The contract reads those up to the size, and decoding all of them: what can be decoded has a size."""
    whole = encode(image(), "JPEG")
    segments = [marker for marker, *_ in containers._jpeg_segments(whole)]

    def with_comments(before: int) -> bytes:
        return whole[:2] + b"\xff\xfe\0\2" * (IMAGE_PARTS - before + more) + whole[2:]

    assert (image_size(with_comments(segments.index(0xC0) + 1)) is None) == bool(more)
    decoded = with_comments(len(segments) - 1)  # without the end of the image
    assert image_size(decoded) == image().size
    if more:
        assert error_of(decoded).code == "bad_image"
    else:
        decode_init_image(decoded, INIT_IMAGE_PIXELS)


@pytest.mark.parametrize("size", [(16_384, 16_384), (2**24, 1), (4096, 4097)])
def test_the_canvas_of_a_webp_is_bounded_before_it_is_allocated(size: tuple[int, int]) -> None:
    file = bytearray(encode(image("RGBA"), "WEBP", exif=exif(1)))
    assert file[12:16] == b"VP8X"
    file[24:30] = b"".join((side - 1).to_bytes(3, "little") for side in size)
    assert error_of(bytes(file)).code in ("out_of_range", "bad_image")


def test_messages_do_not_quote_the_file() -> None:
    file = insert_chunk(encode(image()), b"eXIf", b"secret")
    error = error_of(file)
    assert "secret" not in json.dumps([error.message, error.hint])
    assert error.__cause__ is None
