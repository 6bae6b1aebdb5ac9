"""Image to image: the picture that a drawing starts from, and diffusers' own pipeline for it over shared components."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from contract import INIT_IMAGE_PIXELS, OUTPUT_FORMATS, GenerationRequest, refuse

_DOWN, _UP = 0.5, -0.5
PIPELINES: Mapping[str, tuple[str, float]] = {
    "ChromaPipeline": ("ChromaImg2ImgPipeline", _UP),
    "FluxPipeline": ("FluxImg2ImgPipeline", _UP),
    "QwenImagePipeline": ("QwenImageImg2ImgPipeline", _UP),
    "StableDiffusion3Pipeline": ("StableDiffusion3Img2ImgPipeline", _UP),
    "StableDiffusionPipeline": ("StableDiffusionImg2ImgPipeline", _DOWN),
    "StableDiffusionXLPipeline": ("StableDiffusionXLImg2ImgPipeline", _DOWN),
    "ZImagePipeline": ("ZImageImg2ImgPipeline", _UP),
}
"""Text-to-image class to image-to-image class, and which way its `get_timesteps` rounds steps x strength: the half step
to add, so that it runs exactly the steps of the request. The pipelines of FLUX.2 take pictures to look at, not to start
from; LCM's own has other steps."""

_MODES = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")
_LOSS = 0.02
"""The part of a picture that may be cut off without a word."""


@dataclass(frozen=True)
class Start:
    """A picture of the size to draw at, and what the caller should know."""

    picture: Image.Image
    warnings: tuple[str, ...]


def class_of(pipeline: Any) -> Any:
    """The image-to-image class that goes with a loaded pipeline. Raises EaselError `not_supported`."""
    import diffusers

    name, _ = PIPELINES.get(type(pipeline).__name__, ("", 0))
    if not hasattr(diffusers, name):
        told = f"{type(pipeline).__name__} of diffusers {diffusers.__version__} draws from text alone"
        refuse("not_supported", "init_image", told, "Leave init_image and strength out.")
    return getattr(diffusers, name)


def strength(pipeline: Any, request: GenerationRequest) -> float:
    """What makes the pipeline run exactly `request.steps` of `request.num_inference_steps`."""
    if request.steps == request.num_inference_steps:
        return 1.0
    _, rounding = PIPELINES[type(pipeline).__name__]
    return (request.steps + rounding) / request.num_inference_steps


def read(init_image: str, width: int, height: int) -> Start:
    """The picture in base64: upright as its EXIF says, on white where it is transparent, scaled to cover the size and
    cut evenly.

    Raises EaselError: bad_image (truncated, animated, more than 8 bits a channel), out_of_range.
    """
    picture = _upright(_open(base64.b64decode(init_image)))
    shown = min(width / picture.width, height / picture.height) / max(width / picture.width, height / picture.height)
    told = f"init_image has {picture.width}x{picture.height} pixels; it was cut to the proportions of {width}x{height}."
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return Start(fitted, (told,) if 1 - shown > _LOSS else ())


def _open(file: bytes) -> Image.Image:
    """Decoded. Pillow's message is left out: it may quote the file."""
    try:
        picture = Image.open(io.BytesIO(file), formats=[name.upper() for name in OUTPUT_FORMATS])
        if picture.width * picture.height > INIT_IMAGE_PIXELS:
            refuse("out_of_range", "init_image", "init_image has too many pixels", f"At most {INIT_IMAGE_PIXELS}.")
        if getattr(picture, "is_animated", False):
            refuse("bad_image", "init_image", "init_image is animated", "Send one picture.")
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        refuse("bad_image", "init_image", "init_image is broken or cut off", "Save the picture anew.")
    if picture.mode not in _MODES:
        refuse("bad_image", "init_image", "init_image has more than 8 bits a channel", "Save it with 8.")
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    """RGB."""
    turned = ImageOps.exif_transpose(picture)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    seen = turned.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
