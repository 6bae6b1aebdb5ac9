"""Decoding of the images of a request: files of a client, which may be damaged or made to take long."""

import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageOps

from contract import OUTPUT_FORMATS, EaselError, image_size, refuse
from images.color import ProfileError, to_srgb
from images.containers import FileError, ImageParts, split_file
from images.orientation import OrientationError, is_adobe_rgb, to_upright

_MODES = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image in sRGB, and warnings for the caller."""

    image: Image.Image
    warnings: tuple[str, ...]


def decode_init_image(file: bytes, max_pixels: int, param: str = "init_image") -> DecodedImage:
    """Decode, convert to sRGB, put on white if transparent, and rotate as EXIF says.

    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel), out_of_range.
    """
    return _decode(file, param, max_pixels, lambda image, parts: _to_srgb(image, parts, param))


def decode_mask(file: bytes, max_pixels: int, mode: str) -> DecodedImage:
    """Decode a mask to one channel: 255 where a pixel is what `mode` (of `MASK_MODES`) says, by half or more; else 0.

    Raises EaselError: those of `decode_init_image`, and bad_image if there is no such pixel.
    """
    decoded = _decode(file, "mask_image", max_pixels, lambda image, _: (_selected(image, mode), ()))
    if not decoded.image.getbbox():
        message, hint = f"mask_image has no {mode} pixel", f"Make {mode} what is generated anew, or set mask_mode."
        refuse("bad_image", "mask_image", message, hint)
    return decoded


def _selected(image: Image.Image, mode: str) -> Image.Image:
    channel = image.convert("RGBA").getchannel("A") if mode == "transparent" else image.convert("L")
    white = channel.point([0] * 128 + [255] * 128)
    return white if mode == "white" else ImageOps.invert(white)


_Convert = Callable[[Image.Image, ImageParts], tuple[Image.Image, tuple[str, ...]]]


def _decode(file: bytes, param: str, max_pixels: int, convert: _Convert) -> DecodedImage:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata
            image, parts = _open(file, param, max_pixels)
            converted, color_warnings = convert(image, parts)
            upright, exif_warnings = _to_upright(converted, parts.exif or b"", image.format or "", param)
            return DecodedImage(upright, (*color_warnings, *exif_warnings))
    except EaselError:
        raise
    except FileError as error:
        refuse("bad_image", param, f"{param} is not decoded: {error}", "Save the image again.")
    except Exception:  # Pillow has no base class for its errors, and their text may quote the file
        refuse("bad_image", param, f"{param} is damaged or truncated", "Save the image again.")


def _open(file: bytes, param: str, max_pixels: int) -> tuple[Image.Image, ImageParts]:
    """Return the decoded image, and the parts of its file."""
    _check_pixels(image_size(file) or (0, 0), max_pixels, param)  # the decoder of WebP allocates when it opens
    parts = split_file(file)
    image = Image.open(io.BytesIO(parts.pixels), formats=[name.upper() for name in OUTPUT_FORMATS])
    _check_pixels(image.size, max_pixels, param)
    if parts.animated or getattr(image, "is_animated", False):
        refuse("bad_image", param, f"{param} is animated", "Send a still image.")
    if parts.bits > 8 or image.mode not in _MODES:
        refuse("bad_image", param, f"{param} has more than 8 bits per channel", "Save it with 8.")
    image.load()
    parts.exif = parts.exif or image.info.get("exif")
    return image, parts


def _to_upright(image: Image.Image, exif: bytes, kind: str, param: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image and, if no orientation can be found in its EXIF block, a warning.

    Many tools cut or empty the block of a JPEG or WebP, whose pixels are good all the same. In a PNG it has a checksum.
    """
    try:
        return to_upright(image, exif), ()
    except OrientationError:
        raise FileError("its EXIF metadata has a damaged orientation") from None
    except (ValueError, struct.error):
        if kind == "PNG":
            raise
        return image, (f"{param} has damaged EXIF metadata; it was taken as upright.",)


def _check_pixels(size: tuple[int, int], max_pixels: int, param: str) -> None:
    if size[0] * size[1] > max_pixels:
        refuse("out_of_range", param, f"{param} has too many pixels", f"Send at most {max_pixels}.")


def _to_srgb(image: Image.Image, parts: ImageParts, param: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image and, if its colors are not those of its file, a warning."""
    profile = image.info.get("icc_profile") if parts.profile is None else parts.profile
    try:
        rgb = to_srgb(image, profile)
    except ProfileError:
        warning = f"{param} has a color profile that cannot be used; its colors were taken as sRGB."
        return to_srgb(image, None), (warning,)
    if profile is None and (other := _other_color(image, parts)):
        how = "converted without one" if image.mode == "CMYK" else "taken as sRGB"
        return rgb, (f"{param} {other}; its colors were {how}.",)
    return rgb, ()


def _other_color(image: Image.Image, parts: ImageParts) -> str:
    """Return how a file without a profile describes colors other than sRGB; empty if it does not."""
    if parts.other_color:
        return f"describes its colors in a {parts.other_color} chunk"
    if image.mode == "CMYK":
        return "is CMYK without a color profile"
    return "has the colors of Adobe RGB without a color profile" if is_adobe_rgb(parts.exif or b"") else ""
