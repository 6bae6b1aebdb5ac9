"""The latents of each drawing in its five usual places: `python canonical.py`."""

import numpy as np
import torch
from data import SIZE, WORK, load_cutouts
from diffusers import AutoencoderKL
from PIL import Image
from pool import encode, to_tensor
from scenes import paste

# Alone, left, right, upper, lower: scale and centre.
PLACES = ((0.9, (0.5, 0.5)), (0.5, (0.26, 0.5)), (0.5, (0.74, 0.5)), (0.54, (0.5, 0.29)), (0.58, (0.5, 0.71)))


def placed(cutout: Image.Image, place: int) -> Image.Image:
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    paste(canvas, cutout, *PLACES[place])
    return canvas


def main() -> None:
    """Writes (drawings, 5, 4, 16, 16), each less the empty white picture, and the empty picture itself."""
    cutouts = load_cutouts()
    vae = AutoencoderKL.from_pretrained(WORK / "autoencoder").eval().to(memory_format=torch.channels_last)
    white = encode(vae, to_tensor([Image.new("RGB", (SIZE, SIZE), "white")]))
    latents = torch.zeros(len(cutouts), len(PLACES), *white.shape[1:])
    for index in range(len(cutouts)):
        image = Image.fromarray(np.ascontiguousarray(cutouts[index]))
        latents[index] = encode(vae, to_tensor([placed(image, p) for p in range(len(PLACES))])) - white
        print(f"\r{index + 1}/{len(cutouts)}", end="", flush=True)
    torch.save({"white": white[0], "latents": latents}, WORK / "canonical.pt")


if __name__ == "__main__":
    main()
