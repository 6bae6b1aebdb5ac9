"""Inpainting and outpainting: which part of an init_image is generated anew, and how the rest stays as it was."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from contract import INIT_IMAGE_PIXELS, MASK_MODES, OUTPAINT_SIDES, GenerationRequest, refuse
from generation.img2img import InitImage, fit
from images.files import Pixels
from images.init_image import DecodedImage, decode_init_image, decode_mask

Mask = NDArray[np.uint8]
"""(height, width): 255 where an image is generated anew, else 0."""

_OTHER_PROPORTIONS = 0.02
"""The part by which the proportions of mask_image and init_image may differ."""


@dataclass(frozen=True)
class Canvas:
    """The image of the requested size before generation, and which part of it is generated anew."""

    pixels: Pixels
    mask: Mask
    blur: int

    def merge(self, generated: Pixels) -> Pixels:
        """Return the canvas with the masked part of `generated`, which fades in over `blur` pixels inside of the mask.

        Pixels outside of the mask are exactly those of the canvas.
        """
        eroded, weight = self.mask, self.mask.astype(np.float32)
        for _ in range(self.blur):
            eroded = _erode(eroded)
            weight += eroded
        part = weight[..., None] / (255 * (self.blur + 1))
        return (self.pixels * (1 - part) + generated * part + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class InpaintInput:
    """What an inpainting pipeline starts from, at the size to generate at, and warnings for the caller."""

    canvas: Canvas | None
    """None: nothing stays as it was."""
    image: Image.Image
    mask: Image.Image
    warnings: tuple[str, ...]

    def arguments(self, indexes: range) -> dict[str, Any]:
        """Return the arguments of the pipeline for a batch of the images with these indexes."""
        return {"image": [self.image] * len(indexes), "mask_image": [self.mask] * len(indexes)}


def is_for_inpainting(pipeline: Any) -> bool:
    """Return whether the model's UNet takes a mask and the masked image beside the latents."""
    unet = getattr(pipeline, "unet", None)
    return unet is not None and unet.config.in_channels > unet.config.out_channels


def whole_image(start: InitImage | None, width: int, height: int) -> InpaintInput:
    """Return what a model for inpainting starts from without a mask: everything is generated anew."""
    image = start.image if start else Image.new("RGB", (width, height), "gray")
    return InpaintInput(None, image, Image.new("L", image.size, 255), start.warnings if start else ())


def read_inpaint_input(request: GenerationRequest, width: int, height: int, *, upscales: bool) -> InpaintInput:
    """Decode the images of a request that `has_mask`, to generate at `width` x `height`.

    `upscales`: the generated image is scaled to the requested size in its own proportions; else its center is cropped.
    Raises EaselError: bad_image (damaged, animated, more than 8 bits per channel, other proportions), out_of_range.
    """
    decoded = decode_init_image(base64.b64decode(request.init_image or ""), INIT_IMAGE_PIXELS)
    margins = [(request.outpaint or {}).get(side, 0) for side in OUTPAINT_SIDES]
    left, right, top, bottom = margins
    inner = request.width - left - right, request.height - top - bottom
    fitted = fit(decoded, *inner)
    mask, warnings = _read_mask(request, decoded, inner)
    around = ((top, bottom), (left, right))
    canvas = Canvas(
        np.pad(np.asarray(fitted.image), (*around, (0, 0)), mode="edge"),
        np.pad(mask, around, constant_values=255),
        request.mask_blur or 0,
    )
    image, generated_mask = (_scale_down if upscales else _pad)(canvas, width, height)
    return InpaintInput(canvas, image, generated_mask, (*fitted.warnings, *warnings))


def _read_mask(
    request: GenerationRequest, decoded: DecodedImage, size: tuple[int, int]
) -> tuple[Mask, tuple[str, ...]]:
    """Return the mask of the init_image, fitted to the size as the init_image is, and warnings."""
    if request.mask_image is None:
        return np.zeros(size[::-1], np.uint8), ()
    mask = decode_mask(base64.b64decode(request.mask_image), INIT_IMAGE_PIXELS, request.mask_mode or MASK_MODES[0])
    image = decoded.image
    factor = (mask.image.width * image.height) / (mask.image.height * image.width)
    if not 1 - _OTHER_PROPORTIONS <= factor <= 1 / (1 - _OTHER_PROPORTIONS):
        sizes = f"{mask.image.width}x{mask.image.height} and init_image {image.width}x{image.height}"
        refuse("bad_image", "mask_image", f"mask_image has {sizes} pixels", "Send a mask of the init_image's size.")
    fitted = ImageOps.fit(mask.image.resize(image.size, Image.Resampling.NEAREST), size, Image.Resampling.NEAREST)
    return np.asarray(fitted), mask.warnings


def _pad(canvas: Canvas, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """Return image and mask with what `crop_center` removes again."""
    rows, columns = canvas.mask.shape
    top, left = (height - rows) // 2, (width - columns) // 2
    around = ((top, height - rows - top), (left, width - columns - left))
    pixels = np.pad(canvas.pixels, (*around, (0, 0)), mode="edge")
    return Image.fromarray(pixels), Image.fromarray(np.pad(canvas.mask, around, mode="edge"))


def _scale_down(canvas: Canvas, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """Return image and mask that `upscale` would bring back: the center, in the proportions of width and height."""
    image, mask = Image.fromarray(canvas.pixels), Image.fromarray(canvas.mask)
    smaller = ImageOps.fit(mask, (width, height), Image.Resampling.BOX).point([0] + [255] * 255)
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS), smaller


def _erode(mask: Mask) -> Mask:
    """Return the mask without the pixels at its edge; the edges of the image are none."""
    padded = np.pad(mask, 1, mode="edge")
    sides = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    eroded: Mask = np.minimum.reduce([mask, *sides])
    return eroded
