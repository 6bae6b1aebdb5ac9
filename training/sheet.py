"""Contact sheets: `python sheet.py out.webp PROMPT...`."""

import sys
from collections.abc import Sequence

import torch
from data import HERE
from diffusers import StableDiffusionPipeline
from PIL import Image

RELEASE = HERE.parent / "models" / "emoji"


def draw(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], *, steps: int, guidance: float, seed: int = 0
) -> list[Image.Image]:
    """One picture a prompt, each from its own seed: the first has `seed`, the next `seed + 1`."""
    pipeline.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), 16):
        block = list(prompts[start : start + 16])
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(block))]
        made = pipeline(block, num_inference_steps=steps, guidance_scale=guidance, generator=generators)
        pictures.extend(made.images)
    return pictures


def tile(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * width, rows * height), "white")
    for i, picture in enumerate(pictures):
        canvas.paste(picture, (i % columns * width, i // columns * height))
    return canvas


def main() -> None:
    target, *prompts = sys.argv[1:]
    pipeline = StableDiffusionPipeline.from_pretrained(RELEASE, safety_checker=None, dtype=torch.float32)
    tile(draw(pipeline, prompts, steps=20, guidance=3.0), 8).save(target)


if __name__ == "__main__":
    main()
