"""Image to image: the init_image, and the diffusers pipelines that start from it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, ImageOps

from contract import INIT_IMAGE_PIXELS, GenerationRequest, refuse
from images.init_image import DecodedImage, decode_init_image
from model_folder import CONTROL_PIPELINES

_ROUNDS_DOWN, _ROUNDS_UP = 0.5, -0.5
PIPELINES: Mapping[str, float] = {
    "ChromaPipeline": _ROUNDS_UP,
    "FluxPipeline": _ROUNDS_UP,
    "QwenImagePipeline": _ROUNDS_UP,
    "StableDiffusion3Pipeline": _ROUNDS_UP,
    "StableDiffusionPipeline": _ROUNDS_DOWN,
    "StableDiffusionXLPipeline": _ROUNDS_DOWN,
    "ZImagePipeline": _ROUNDS_UP,
}
"""Text-to-image classes with classes for image to image and for inpainting, and the half step to add.

`get_timesteps` of those classes rounds steps x strength down or up; with the half step it runs exactly the requested
steps. Left out: FLUX.2 uses images as references, and LCM counts steps in another way.
"""

Kind = Literal["", "Img2Img", "Inpaint"]
"""What a pipeline starts from beside noise: nothing, an image, or an image with a mask."""
_PARAMS: Mapping[Kind, str] = {"": "prompt", "Img2Img": "init_image", "Inpaint": "mask_image"}

_CROP_WITHOUT_WARNING = 0.02
"""The part of an image that may be cropped without a warning."""


@dataclass(frozen=True)
class InitImage:
    """An RGB image of the size to generate at, and warnings for the caller."""

    image: Image.Image
    warnings: tuple[str, ...]

    def arguments(self, indexes: range) -> dict[str, Any]:
        """Return the arguments of the pipeline for a batch of the images with these indexes."""
        return {"image": [self.image] * len(indexes)}


def pipeline_class(pipeline: Any, kind: Kind, *, control: bool = False) -> Any:
    """Return the class of a loaded pipeline to generate with, which takes ControlNets if `control`.

    Raises EaselError `not_supported`.
    """
    import diffusers

    if not kind and not control:
        return type(pipeline)
    name = type(pipeline).__name__
    variant = name.replace("Pipeline", f"{'ControlNet' if control else ''}{kind}Pipeline")
    known = (not kind or name in PIPELINES) and (not control or name in CONTROL_PIPELINES)
    if control and known:
        known = _PARAMS[kind] not in CONTROL_PIPELINES[name].without
    if not known or not hasattr(diffusers, variant):
        param = "control" if control else _PARAMS[kind]
        message = f"{name} of diffusers {diffusers.__version__} takes no {param}"
        refuse("not_supported", param, message, f"Leave out {param} and its fields.")
    return getattr(diffusers, variant)


def pipeline_strength(pipeline: Any, request: GenerationRequest) -> float:
    """Return the strength with which the pipeline runs exactly `request.steps` of `request.num_inference_steps`."""
    if request.steps == request.num_inference_steps:
        return 1.0
    return (request.steps + PIPELINES[type(pipeline).__name__]) / request.num_inference_steps


def read_init_image(init_image: str, width: int, height: int) -> InitImage:
    """Decode base64, scale to cover the size and crop the center.

    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel), out_of_range.
    """
    return fit(decode_init_image(base64.b64decode(init_image), INIT_IMAGE_PIXELS), width, height)


def fit(decoded: DecodedImage, width: int, height: int, *, param: str = "init_image") -> InitImage:
    """Scale to cover the size and crop the center."""
    image = decoded.image
    scale_x, scale_y = width / image.width, height / image.height
    cropped = 1 - min(scale_x, scale_y) / max(scale_x, scale_y)
    warning = f"{param} has {image.width}x{image.height} pixels; it was cropped to the proportions of {width}x{height}."
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return InitImage(fitted, (*decoded.warnings, *((warning,) if cropped > _CROP_WITHOUT_WARNING else ())))
