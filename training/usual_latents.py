"""Latents of each subject at its five usual places: `python usual_latents.py`."""

import numpy as np
import torch
from dataset import SIZE, WORK, load_cutouts
from diffusers import AutoencoderKL
from image_pool import encode, to_tensor
from PIL import Image
from scenes import paste

PLACES = ((0.9, (0.5, 0.5)), (0.5, (0.26, 0.5)), (0.5, (0.74, 0.5)), (0.54, (0.5, 0.29)), (0.58, (0.5, 0.71)))
"""Scale and centre: alone, left, right, upper, lower."""


def placed(cutout: Image.Image, place: int) -> Image.Image:
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    paste(canvas, cutout, *PLACES[place])
    return canvas


def main() -> None:
    """Write (subjects, 5, 4, 16, 16), each minus the latents of a white image, and the latents of the white image."""
    cutouts = load_cutouts()
    vae = AutoencoderKL.from_pretrained(WORK / "autoencoder").eval().to(memory_format=torch.channels_last)
    white = encode(vae, to_tensor([Image.new("RGB", (SIZE, SIZE), "white")]))
    latents = torch.zeros(len(cutouts), len(PLACES), *white.shape[1:])
    for index in range(len(cutouts)):
        image = Image.fromarray(np.ascontiguousarray(cutouts[index]))
        latents[index] = encode(vae, to_tensor([placed(image, p) for p in range(len(PLACES))])) - white
        print(f"\r{index + 1}/{len(cutouts)}", end="", flush=True)
    torch.save({"white": white[0], "latents": latents}, WORK / "usual_latents.pt")


if __name__ == "__main__":
    main()
