"""Trains the eye on the drawings alone: `python train_eye.py --minutes 5`."""

import argparse
import random
import shutil
import time

import numpy as np
import torch
from data import WORK, load_cutouts, load_drawings
from eye import FEATURES, FOLDER, SIDE, Eye, Network, save_eye, to_input
from PIL import Image, ImageFilter
from scenes import COLOURS
from torch import Tensor, nn


def ground(rng: random.Random) -> tuple[int, int, int]:
    if rng.random() < 0.6:
        return 255, 255, 255
    colour = rng.choice(list(COLOURS.values()))[1]
    red, green, blue = (min(255, max(0, c + rng.randrange(-16, 17))) for c in colour)
    return red, green, blue


def put(
    rng: random.Random, canvas: Image.Image, cutout: Image.Image, scale: float, centre: tuple[float, float]
) -> None:
    side = round(SIDE * scale)
    shape = (side, round(side * rng.uniform(0.93, 1.07)))
    turned = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cutout
    small = turned.resize(shape, Image.Resampling.BILINEAR)
    canvas.paste(small, (round(centre[0] * SIDE - side / 2), round(centre[1] * SIDE - side / 2)), small)


def view(rng: random.Random, cutouts: list[Image.Image], index: int) -> Image.Image:
    """The drawing as a sloppy painter might show it; a third of the time another one peeps in."""
    canvas = Image.new("RGB", (SIDE, SIDE), ground(rng))
    if rng.random() < 0.33:
        angle = rng.choice([(-0.1, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, 1.1)])
        put(rng, canvas, rng.choice(cutouts), rng.uniform(0.5, 0.9), angle)
    scale, shift = rng.uniform(0.65, 1.1), 0.1
    centre = (0.5 + rng.uniform(-shift, shift), 0.5 + rng.uniform(-shift, shift))
    put(rng, canvas, cutouts[index], scale, centre)
    if rng.random() < 0.4:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    return canvas


def disturb(pictures: Tensor) -> Tensor:
    """Other light, other colours, a little noise."""
    shape = (len(pictures), 3, 1, 1)
    light = 1 + 0.12 * torch.randn(shape[0], 1, 1, 1) + 0.04 * torch.randn(shape)
    lifted = pictures * light + 0.06 * torch.randn(shape)
    return lifted + 0.1 * torch.rand(shape[0], 1, 1, 1) * torch.randn_like(pictures)


def train(network: Network, cutouts: list[Image.Image], minutes: float, size: int = 96) -> None:
    classes = nn.Parameter(torch.randn(len(cutouts), FEATURES))
    parameters = [*network.parameters(), classes]
    optimizer = torch.optim.AdamW(parameters, 3e-3, weight_decay=0.02, fused=True)
    rng, start, step = random.Random(7), time.monotonic(), 0
    while (past := (time.monotonic() - start) / 60 / minutes) < 1:
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 50) * (1.01 - past)
        wanted = [rng.randrange(len(cutouts)) for _ in range(size)]
        pictures = disturb(to_input([view(rng, cutouts, i) for i in wanted]))
        answers = 16 * network(pictures) @ nn.functional.normalize(classes, dim=1).T
        loss = nn.functional.cross_entropy(answers, torch.tensor(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 50 == 0:
            right = (answers.argmax(1) == torch.tensor(wanted)).float().mean().item()
            print(f"{past:4.0%} step {step} loss {loss.item():.3f} right {right:.2f}", flush=True)


def plain_views(cutout: Image.Image) -> list[Image.Image]:
    """The drawing on white and its mirror image, full and three quarters of the frame."""
    views = []
    for scale in (1.0, 0.8):
        canvas = Image.new("RGB", (SIDE, SIDE), "white")
        side = round(SIDE * scale)
        small = cutout.resize((side, side), Image.Resampling.LANCZOS)
        canvas.paste(small, ((SIDE - side) // 2,) * 2, small)
        views += [canvas, canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return views


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(8)
    cutouts = [Image.fromarray(np.ascontiguousarray(c)) for c in load_cutouts()]
    network = Network()
    train(network, cutouts, arguments.minutes)
    views = [v for c in cutouts for v in plain_views(c)]
    codes = [d.code for d in load_drawings() for _ in range(4)]
    eye = Eye(network=network.eval(), features=torch.empty(0), codes=codes)
    save_eye(Eye(network=network, features=eye.look(views), codes=codes))
    # The bench and the tests ask for drawings by name, and have no drawings.
    shutil.copy(WORK / "drawings.json", FOLDER / "names.json")


if __name__ == "__main__":
    main()
