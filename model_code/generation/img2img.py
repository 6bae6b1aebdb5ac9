"""Image to image: the init_image, and the diffusers pipeline that starts from it."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from contract import INIT_IMAGE_PIXELS, OUTPUT_FORMATS, GenerationRequest, refuse

_ROUNDS_DOWN, _ROUNDS_UP = 0.5, -0.5
PIPELINES: Mapping[str, tuple[str, float]] = {
    "ChromaPipeline": ("ChromaImg2ImgPipeline", _ROUNDS_UP),
    "FluxPipeline": ("FluxImg2ImgPipeline", _ROUNDS_UP),
    "QwenImagePipeline": ("QwenImageImg2ImgPipeline", _ROUNDS_UP),
    "StableDiffusion3Pipeline": ("StableDiffusion3Img2ImgPipeline", _ROUNDS_UP),
    "StableDiffusionPipeline": ("StableDiffusionImg2ImgPipeline", _ROUNDS_DOWN),
    "StableDiffusionXLPipeline": ("StableDiffusionXLImg2ImgPipeline", _ROUNDS_DOWN),
    "ZImagePipeline": ("ZImageImg2ImgPipeline", _ROUNDS_UP),
}
"""Text-to-image class to image-to-image class and the half step to add.

`get_timesteps` of each class rounds steps x strength down or up; with the half step it runs exactly the requested
steps. Left out: FLUX.2 uses images as references, and LCM counts steps in another way.
"""

_MODES = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")
_CROP_WITHOUT_WARNING = 0.02
"""The part of an image that may be cropped without a warning."""


@dataclass(frozen=True)
class InitImage:
    """An RGB image of the size to generate at, and warnings for the caller."""

    image: Image.Image
    warnings: tuple[str, ...]


def img2img_class(pipeline: Any) -> Any:
    """Return the image-to-image class for a loaded pipeline. Raises EaselError `not_supported`."""
    import diffusers

    name, _ = PIPELINES.get(type(pipeline).__name__, ("", 0))
    if not hasattr(diffusers, name):
        message = f"{type(pipeline).__name__} of diffusers {diffusers.__version__} takes no init_image"
        refuse("not_supported", "init_image", message, "Leave out init_image and strength.")
    return getattr(diffusers, name)


def pipeline_strength(pipeline: Any, request: GenerationRequest) -> float:
    """Return the strength with which the pipeline runs exactly `request.steps` of `request.num_inference_steps`."""
    if request.steps == request.num_inference_steps:
        return 1.0
    _, half_step = PIPELINES[type(pipeline).__name__]
    return (request.steps + half_step) / request.num_inference_steps


def read_init_image(init_image: str, width: int, height: int) -> InitImage:
    """Decode base64, rotate as EXIF says, put on white if transparent, scale to cover the size and crop the center.

    Raises EaselError: bad_image (truncated, animated, more than 8 bits per channel), out_of_range.
    """
    image = _to_upright_rgb(_open(base64.b64decode(init_image)))
    scale_x, scale_y = width / image.width, height / image.height
    cropped = 1 - min(scale_x, scale_y) / max(scale_x, scale_y)
    warning = (
        f"init_image has {image.width}x{image.height} pixels; it was cropped to the proportions of {width}x{height}."
    )
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return InitImage(fitted, (warning,) if cropped > _CROP_WITHOUT_WARNING else ())


def _open(file: bytes) -> Image.Image:
    """Return the decoded image. Pillow's own message is dropped: it may quote the file."""
    try:
        image = Image.open(io.BytesIO(file), formats=[name.upper() for name in OUTPUT_FORMATS])
        if image.width * image.height > INIT_IMAGE_PIXELS:
            refuse("out_of_range", "init_image", "init_image has too many pixels", f"Send at most {INIT_IMAGE_PIXELS}.")
        if getattr(image, "is_animated", False):
            refuse("bad_image", "init_image", "init_image is animated", "Send a still image.")
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        refuse("bad_image", "init_image", "init_image is damaged or truncated", "Save the image again.")
    if image.mode not in _MODES:
        refuse("bad_image", "init_image", "init_image has more than 8 bits per channel", "Save it with 8.")
    return image


def _to_upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    rgba = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
