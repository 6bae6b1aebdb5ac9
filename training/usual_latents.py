"""Latents of each subject at its five usual places, and of each on each seat: `python usual_latents.py`."""

import torch
from dataset import SIZE, WORK
from diffusers import AutoencoderKL
from image_pool import encode_all, load_all_cutouts
from PIL import Image
from scenes import ABOVE, Cutouts, Scene, compose, paste

PLACES = ((0.9, (0.5, 0.5)), (0.5, (0.26, 0.5)), (0.5, (0.74, 0.5)), (0.54, (0.5, 0.29)), (0.58, (0.5, 0.71)))
"""Scale and centre: alone, left, right, upper, lower."""
UPPER = 3


def placed(cutout: Image.Image, place: int) -> Image.Image:
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    paste(canvas, cutout, *PLACES[place])
    return canvas


def images_at_places(cutouts: Cutouts) -> list[Image.Image]:
    return [
        placed(sitting if place == UPPER else usual, place)
        for usual, sitting in zip(cutouts.usual, cutouts.sitting, strict=True)
        for place in range(len(PLACES))
    ]


def images_on_seats(cutouts: Cutouts) -> list[Image.Image]:
    """Return each subject on each seat, a seat on itself too."""
    return [
        compose(Scene(first=first, second=seat, relation=ABOVE), cutouts)
        for seat in cutouts.seats
        for first in range(len(cutouts.usual))
    ]


def main() -> None:
    """Write (subjects, 5, 4, 16, 16) and by seat (subjects, 4, 16, 16), each minus the latents of a white image, and
    these."""
    cutouts = load_all_cutouts()
    vae = AutoencoderKL.from_pretrained(WORK / "autoencoder").eval().to(memory_format=torch.channels_last)
    white = encode_all(vae, [Image.new("RGB", (SIZE, SIZE), "white")])
    latents = (encode_all(vae, images_at_places(cutouts)) - white).reshape(-1, len(PLACES), *white.shape[1:])
    on_seats = (encode_all(vae, images_on_seats(cutouts)) - white).reshape(-1, len(cutouts.usual), *white.shape[1:])
    seats = dict(zip(cutouts.seats, on_seats, strict=True))
    torch.save({"white": white[0], "latents": latents, "seats": seats}, WORK / "usual_latents.pt")


if __name__ == "__main__":
    main()
