"""Images to look at: what a pipeline that edits by instruction gets beside the prompt."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from contract import EDIT_PIXELS, INIT_IMAGE_PIXELS
from images.init_image import DecodedImage, decode_init_image


@dataclass(frozen=True)
class EditInput:
    """Upright RGB images of at most `EDIT_PIXELS`, in the order of the request, and warnings for the caller."""

    images: tuple[Image.Image, ...]
    warnings: tuple[str, ...]

    def arguments(self, indexes: range) -> dict[str, Any]:
        """Return the arguments of the pipeline for the generated image with this index; there is one."""
        return {"image": list(self.images)}


def read_edit_images(images: Sequence[str]) -> EditInput:
    """Decode base64, one after the other: at most one image is in memory at its full size.

    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel), out_of_range; `param` is the item.
    """
    decoded = [_read(image, f"images[{index}]") for index, image in enumerate(images)]
    return EditInput(
        tuple(item.image for item in decoded), tuple(warning for item in decoded for warning in item.warnings)
    )


def _read(image: str, param: str) -> DecodedImage:
    """Scale down in the image's proportions, as the pipelines of diffusers do."""
    decoded = decode_init_image(base64.b64decode(image), INIT_IMAGE_PIXELS, param)
    width, height = decoded.image.size
    scale = math.sqrt(EDIT_PIXELS / (width * height))
    if scale >= 1:
        return decoded
    size = int(width * scale), int(height * scale)
    return DecodedImage(decoded.image.resize(size, Image.Resampling.LANCZOS), decoded.warnings)
