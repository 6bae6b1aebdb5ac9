"""Contact sheets: `python contact_sheet.py out.webp PROMPT...`."""

import sys
from collections.abc import Sequence

import torch
from dataset import HERE
from diffusers import StableDiffusionPipeline
from PIL import Image

RELEASE = HERE.parent / "models" / "emoji"


def generate_images(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], *, steps: int, guidance: float, seed: int = 0
) -> list[Image.Image]:
    """Return one image per prompt. The first has `seed`, the next `seed + 1`, and so on."""
    pipeline.set_progress_bar_config(disable=True)
    images: list[Image.Image] = []
    for start in range(0, len(prompts), 16):
        block = list(prompts[start : start + 16])
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(block))]
        output = pipeline(block, num_inference_steps=steps, guidance_scale=guidance, generator=generators)
        images.extend(output.images)
    return images


def tile_images(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Return one image of all, row by row."""
    width, height = images[0].size
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * width, rows * height), "white")
    for i, image in enumerate(images):
        canvas.paste(image, (i % columns * width, i // columns * height))
    return canvas


def main() -> None:
    target, *prompts = sys.argv[1:]
    pipeline = StableDiffusionPipeline.from_pretrained(RELEASE, safety_checker=None, dtype=torch.float32)
    tile_images(generate_images(pipeline, prompts, steps=20, guidance=3.0), 8).save(target)


if __name__ == "__main__":
    main()
