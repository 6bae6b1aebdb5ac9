"""Decoding of an init_image: a file of a client, which may be damaged or made to take long."""

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image

from contract import OUTPUT_FORMATS, EaselError, image_size, refuse
from images.color import ProfileError, to_srgb
from images.containers import FileError, ImageParts, split_file
from images.orientation import OrientationError, to_upright

_MODES = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")
_PARAM = "init_image"


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image in sRGB, and warnings for the caller."""

    image: Image.Image
    warnings: tuple[str, ...]


def decode_init_image(file: bytes, max_pixels: int) -> DecodedImage:
    """Decode, convert to sRGB, put on white if transparent, and rotate as EXIF says.

    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel), out_of_range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata
            return _decode(file, max_pixels)
    except EaselError:
        raise
    except FileError as error:
        refuse("bad_image", _PARAM, f"init_image is not decoded: {error}", "Save the image again.")
    except Exception:  # Pillow has no base class for its errors, and their text may quote the file
        refuse("bad_image", _PARAM, "init_image is damaged or truncated", "Save the image again.")


def _decode(file: bytes, max_pixels: int) -> DecodedImage:
    _check_pixels(image_size(file) or (0, 0), max_pixels)  # the decoder of WebP allocates when it opens
    parts = split_file(file)
    image = Image.open(io.BytesIO(parts.pixels), formats=[name.upper() for name in OUTPUT_FORMATS])
    _check_pixels(image.size, max_pixels)
    if parts.animated or getattr(image, "is_animated", False):
        refuse("bad_image", _PARAM, "init_image is animated", "Send a still image.")
    if parts.bits > 8 or image.mode not in _MODES:
        refuse("bad_image", _PARAM, "init_image has more than 8 bits per channel", "Save it with 8.")
    image.load()
    rgb, color_warnings = _to_srgb(image, parts)
    upright, exif_warnings = _to_upright(rgb, parts.exif or image.info.get("exif") or b"", image.format or "")
    return DecodedImage(upright, (*color_warnings, *exif_warnings))


def _to_upright(image: Image.Image, exif: bytes, kind: str) -> tuple[Image.Image, tuple[str, ...]]:
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
        return image, ("init_image has damaged EXIF metadata; it was taken as upright.",)


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        refuse("out_of_range", _PARAM, "init_image has too many pixels", f"Send at most {max_pixels}.")


def _to_srgb(image: Image.Image, parts: ImageParts) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image and, if its colors are not those of its file, a warning."""
    profile = image.info.get("icc_profile") if parts.profile is None else parts.profile
    try:
        rgb = to_srgb(image, profile)
    except ProfileError:
        warning = "init_image has a color profile that cannot be used; its colors were taken as sRGB."
        return to_srgb(image, None), (warning,)
    if parts.other_color:
        warning = f"init_image describes its colors in a {parts.other_color} chunk; they were taken as sRGB."
        return rgb, (warning,)
    return rgb, ()
