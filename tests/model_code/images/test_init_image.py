"""Files of an init_image: color profiles, the second image of a phone, animations, bit depths and orientation."""

import functools
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from contract import INIT_IMAGE_PIXELS, EaselError
from images.init_image import DecodedImage, decode_init_image
from tests.model_code.images import icc

ORANGE = (255, 120, 40)
PROFILE_WARNING = "color profile"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(file: bytes) -> DecodedImage:
    decoded = decode_init_image(file, INIT_IMAGE_PIXELS)
    assert decoded.image.mode == "RGB"
    return decoded


def color_of(file: bytes) -> tuple[int, ...]:
    """Return the color of the center. There are no warnings."""
    decoded = decode(file)
    assert decoded.warnings == ()
    pixel = decoded.image.getpixel((decoded.image.width // 2, decoded.image.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


def near(color: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    return all(abs(value - target) <= tolerance for value, target in zip(color, expected, strict=True))


def error_of(file: bytes) -> EaselError:
    with pytest.raises(EaselError) as caught:
        decode(file)
    assert caught.value.param == "init_image"
    return caught.value


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def insert_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Insert a chunk before the pixels."""
    return png[:33] + chunk(kind, content) + png[33:]


# --- color profiles ------------------------------------------------------------------------------


def photo(profile: bytes) -> Image.Image:
    """An image that shows ORANGE under this RGB profile."""
    shown = ImageCms.profileToProfile(
        Image.new("RGB", (32, 32), ORANGE), ImageCms.createProfile("sRGB"), ImageCms.getOpenProfile(io.BytesIO(profile))
    )
    assert shown and not near(shown.getpixel((0, 0)), ORANGE)  # type: ignore[arg-type]
    return Image.fromarray(np.asarray(shown))  # without the profile in `info`


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("JPEG", "RGB")],
)
def test_colors_of_display_p3_are_converted(kind: str, mode: str) -> None:
    profile, options = icc.display_p3(), {"lossless": True} if kind == "WEBP" else {}
    image = photo(profile).quantize(2) if mode == "P" else photo(profile).convert(mode)
    assert near(color_of(encode(image, kind, icc_profile=profile, **options)), ORANGE)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_gray_values_of_a_gray_profile_are_converted(mode: str) -> None:
    image = Image.new("L", (8, 8), 255 if mode == "1" else 55).convert(mode)
    expected = (255,) * 3 if mode == "1" else (128,) * 3
    assert near(color_of(encode(image, icc_profile=icc.linear_gray())), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_gray_with_an_rgb_profile_stays_gray(kind: str) -> None:
    assert near(color_of(encode(Image.new("L", (8, 8), 128), kind, icc_profile=icc.display_p3())), (128,) * 3)


def test_cmyk_uses_its_profile() -> None:
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert near(color_of(encode(image, "JPEG", quality=100, icc_profile=icc.red_cyan_ink())), (255, 0, 0), 12)
    without = decode(encode(image, "JPEG", quality=100))
    assert near(without.image.getpixel((4, 4)), (0, 255, 255), 12)  # type: ignore[arg-type]
    assert "CMYK" in without.warnings[0]


def test_transparent_pixels_are_white_and_others_keep_their_converted_color() -> None:
    profile = icc.display_p3()
    palette = Image.new("P", (32, 32))
    palette.putpalette([*photo(profile).getpixel((0, 0)), 9, 9, 9])  # type: ignore[misc]
    palette.paste(1, (0, 0, 32, 4))
    decoded = decode(encode(palette, icc_profile=profile, transparency=bytes((255, 0))))
    assert near(decoded.image.getpixel((0, 0)), (255, 255, 255), 0)  # type: ignore[arg-type]
    assert near(decoded.image.getpixel((9, 9)), ORANGE)  # type: ignore[arg-type]
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert near(color_of(encode(half, icc_profile=profile)), (127, 127, 127))


@functools.cache
def broken_profiles() -> dict[str, bytes]:
    image, profile = photo(icc.display_p3()), icc.display_p3()
    jpeg = encode(image, "JPEG", icc_profile=profile)
    piece = jpeg.index(b"ICC_PROFILE\0")
    mpet = icc.profile(b"RGB ", b"XYZ ", b"mntr", {b"D2B0": b"mpet" + bytes(20)})
    return {
        "junk": encode(image, icc_profile=b"junk"),
        "truncated": encode(image, icc_profile=profile[:200]),
        "no-tags": encode(image, "WEBP", lossless=True, icc_profile=icc.profile(b"RGB ", b"XYZ ", b"mntr", {})),
        "of-another-space": encode(image, icc_profile=icc.red_cyan_ink()),
        "gray": encode(image, icc_profile=icc.linear_gray()),
        "zlib": insert_chunk(encode(image), b"iCCP", b"name\0\0junk"),
        "too-large": insert_chunk(encode(image), b"iCCP", b"name\0\0" + zlib.compress(bytes(2**26))),
        "a-piece-is-missing": jpeg[: piece + 13] + b"\2" + jpeg[piece + 14 :],
        "any-number-of-stages": encode(image, icc_profile=mpet),
    }


@pytest.mark.parametrize("name", broken_profiles())
def test_a_profile_that_cannot_be_used_is_a_warning(name: str) -> None:
    decoded = decode(broken_profiles()[name])
    (warning,) = decoded.warnings
    assert PROFILE_WARNING in warning
    assert near(decoded.image.getpixel((9, 9)), photo(icc.display_p3()).getpixel((9, 9)), 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "content", "standard"),
    [
        (b"cICP", bytes((12, 13, 0, 1)), bytes((1, 13, 0, 1))),
        (b"gAMA", struct.pack(">I", 100_000), struct.pack(">I", 45_455)),
        (b"cHRM", bytes(32), struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    ],
)
def test_colors_that_are_described_without_a_profile_are_a_warning(
    kind: bytes, content: bytes, standard: bytes
) -> None:
    image = encode(Image.new("RGB", (8, 8), ORANGE))
    assert kind.decode() in decode(insert_chunk(image, kind, content)).warnings[0]
    assert color_of(insert_chunk(image, kind, standard)) == ORANGE


def adobe_rgb_exif(index: str) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "x"  # Pillow takes a block without such fields for an empty one
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 0xFFFF
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: index}
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_adobe_rgb_of_a_camera_is_a_warning(kind: str) -> None:
    image = Image.new("RGB", (8, 8), ORANGE)
    (warning,) = decode(encode(image, kind, exif=adobe_rgb_exif("R03"))).warnings
    assert "Adobe RGB" in warning
    assert decode(encode(image, kind, exif=adobe_rgb_exif("R98"))).warnings == ()
    assert decode(encode(image, kind, exif=adobe_rgb_exif("R03"), icc_profile=icc.display_p3())).warnings == ()


# --- several images in one file ------------------------------------------------------------------


def mpo() -> bytes:
    noise = Image.effect_noise((64, 48), 60).convert("RGB")
    return encode(noise, "MPO", save_all=True, append_images=[noise.resize((16, 12))])


def test_the_first_image_of_a_phone_s_file_is_taken() -> None:
    file = mpo()
    first = file[: file.index(b"\xff\xd9") + 2]  # the index alone is left
    whole, stripped = decode(file).image, decode(first).image
    assert whole.size == (64, 48)
    assert np.array_equal(np.asarray(whole), np.asarray(stripped))


@pytest.mark.parametrize("index", [b"", b"junk", b"MM\0*" + bytes(30), b"II*\0\xff\xff\xff\xff"])
def test_a_damaged_index_of_further_images_does_not_matter(index: bytes) -> None:
    content = b"MPF\0" + index
    file = encode(Image.new("RGB", (8, 8), ORANGE), "JPEG", quality=100)
    segment = b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content
    assert near(color_of(file[:2] + segment + file[2:]), ORANGE, 6)


def test_a_thumbnail_or_gain_map_does_not_matter() -> None:
    thumbnail = encode(Image.new("RGB", (8, 8), "blue"), "JPEG")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    file = encode(Image.new("RGB", (16, 16), ORANGE), "JPEG", quality=100, exif=exif)
    assert near(color_of(file + thumbnail), ORANGE, 6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    error = error_of(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert error.code == "bad_image" and "animated" in error.message


def test_an_animation_of_one_frame_is_a_still_image() -> None:
    control = struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)
    file = insert_chunk(encode(Image.new("RGB", (8, 8), ORANGE)), b"fcTL", control)
    assert color_of(insert_chunk(file, b"acTL", struct.pack(">II", 1, 0))) == ORANGE


# --- bits and orientation ------------------------------------------------------------------------


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_more_than_eight_bits_are_refused(color_type: int, channels: int) -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 16, color_type, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + 16 * channels) * 8))
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    error = error_of(file)
    assert (error.code, "8 bits" in error.message) == ("bad_image", True)


def exif(orientation: int, kind: int = 3, order: str = ">") -> bytes:
    """Return EXIF with an orientation of a TIFF type: 1 BYTE, 3 SHORT, 4 LONG."""
    value = struct.pack(f"{order}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", orientation).ljust(4, b"\0")
    start = b"MM\0*" if order == ">" else b"II*\0"
    return start + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_applied_as_pillow_does(orientation: int, kind: str) -> None:
    image = Image.effect_noise((16, 24), 60).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0}
    upright = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)  # members of Image.Transpose
    expected = image if upright is None else image.transpose(Image.Transpose(upright))
    for tiff_type in (1, 3, 4):
        for order in "<>":
            file = encode(image, kind, exif=b"Exif\0\0" + exif(orientation, tiff_type, order), **options)
            decoded = decode(file).image
            assert decoded.size == expected.size
            difference = np.asarray(decoded).astype(int) - np.asarray(expected)
            assert abs(difference).mean() < 2
