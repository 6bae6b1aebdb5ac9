"""The second pass of `hires`: image to image from the first pass's images, scaled up."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, ImageOps

from contract import GenerationRequest, Hires
from images.files import Pixels

TILED = "the image was decoded in tiles, because the GPU's memory is short; with more memory some pixels differ"


def second_request(request: GenerationRequest, hires: Hires) -> GenerationRequest:
    """Return the second pass of a request as a request of its own, without its init_image."""
    width, height = request.result_size
    first = replace(request, width=width, height=height, hires=None)
    return replace(first, num_inference_steps=hires.steps, strength=hires.strength)


@dataclass(frozen=True)
class ScaledImages:
    """The first pass's images at the size of the second."""

    images: tuple[Image.Image, ...]
    inpaint: bool = False
    """The model is for inpainting: it gets a mask of everything."""

    def arguments(self, indexes: range) -> dict[str, Any]:
        """Return the arguments of the pipeline for a batch of these images."""
        images = [self.images[index] for index in indexes]
        masks = [Image.new("L", image.size, 255) for image in images]
        return {"image": images} | ({"mask_image": masks} if self.inpaint else {})


def scale_up(images: Sequence[Pixels], width: int, height: int, *, inpaint: bool = False) -> ScaledImages:
    """Scale the images of the first pass. Lanczos keeps edges sharp, where scaled latents would need more strength."""
    scaled = (ImageOps.fit(Image.fromarray(image), (width, height), Image.Resampling.LANCZOS) for image in images)
    return ScaledImages(tuple(scaled), inpaint)


@dataclass
class Tiling:
    """Encodes and decodes images in tiles once it has begun. Without an autoencoder that can: never."""

    autoencoder: Any = None
    begun: bool = field(default=False, init=False)

    def begin(self) -> bool:
        """Return False if there are tiles already, or cannot be."""
        if self.begun or not hasattr(self.autoencoder, "enable_tiling"):
            return False
        self.autoencoder.enable_tiling()
        self.begun = True
        return True


@contextmanager
def tiling(pipeline: Any) -> Iterator[Tiling]:
    """Provide a Tiling of the pipeline's autoencoder, which is without tiles again at the end."""
    tiles = Tiling(getattr(pipeline, "vae", None))
    try:
        yield tiles
    finally:
        if tiles.begun:
            tiles.autoencoder.disable_tiling()
