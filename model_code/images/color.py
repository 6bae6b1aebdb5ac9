"""Color profiles: every image becomes sRGB, which models are trained with."""

import io
from collections.abc import Mapping

from PIL import Image, ImageCms

_MODES: Mapping[str, str] = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Color space of ICC profiles to Pillow's mode."""
_WHITE = (255, 255, 255)
_UNBOUNDED = b"mpet"
"""The type of tags with any number of stages: a small profile can make each pixel take seconds."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the image in RGB, on white where it is transparent. Without a profile its colors are taken as sRGB.

    Raises ProfileError.
    """
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colors = _without_alpha(image)
    rgb = colors.convert("RGB") if profile is None else _convert(colors, profile)
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, _WHITE), alpha)


class ProfileError(ValueError):
    """A profile that is damaged, or is not for the image's color space."""


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    if image.mode == "CMYK":
        return image
    return (image.convert("RGBA") if image.has_transparency_data else image).convert("RGB")


def _convert(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert L, RGB or CMYK. Many gray files have an RGB profile."""
    if _UNBOUNDED in profile:
        raise ProfileError
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode:
            raise ProfileError
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        return ImageCms.applyTransform(image, transform) or image
    except (OSError, ImageCms.PyCMSError):
        raise ProfileError from None
