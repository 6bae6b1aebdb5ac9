"""Image to image: the init_image, and the diffusers pipeline that starts from it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from contract import INIT_IMAGE_PIXELS, GenerationRequest, refuse
from images.init_image import decode_init_image

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
    """Decode base64, scale to cover the size and crop the center.

    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel), out_of_range.
    """
    decoded = decode_init_image(base64.b64decode(init_image), INIT_IMAGE_PIXELS)
    image = decoded.image
    scale_x, scale_y = width / image.width, height / image.height
    cropped = 1 - min(scale_x, scale_y) / max(scale_x, scale_y)
    warning = (
        f"init_image has {image.width}x{image.height} pixels; it was cropped to the proportions of {width}x{height}."
    )
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return InitImage(fitted, (*decoded.warnings, *((warning,) if cropped > _CROP_WITHOUT_WARNING else ())))
