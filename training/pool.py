"""Pictures composed and encoded ahead of training: `python pool.py --singles 16 --pairs 6000`."""

import argparse
import json
import random
from dataclasses import asdict, dataclass

import numpy as np
import torch
from data import WORK, load_cutouts, load_drawings
from diffusers import AutoencoderKL
from PIL import Image
from scenes import ABOVE, BESIDE, BIG, COLOURS, SMALL, Scene, compose
from torch import Tensor


def single_scenes(rng: random.Random, index: int, count: int) -> list[Scene]:
    """Mostly the drawing on white; a sixth each on a coloured ground and in another size."""
    other = max(1, count // 6)
    plain = [Scene(first=index)] * (count - 2 * other)
    grounds = [Scene(first=index, ground=rng.randrange(1, len(COLOURS))) for _ in range(other)]
    sizes = [Scene(first=index, size=rng.choice((SMALL, BIG))) for _ in range(other)]
    return plain + grounds + sizes


def pair_scenes(rng: random.Random, drawings: list[int], count: int) -> list[Scene]:
    """Every drawing comes first equally often; an eighth of the pairs stand on a coloured ground."""
    scenes = []
    for i in range(count):
        first = i % len(drawings)
        second = (first + rng.randrange(1, len(drawings))) % len(drawings)
        ground = rng.randrange(1, len(COLOURS)) if rng.random() < 1 / 8 else 0
        relation = rng.choice((BESIDE, ABOVE))
        scenes.append(Scene(first=drawings[first], second=drawings[second], relation=relation, ground=ground))
    return scenes


def to_tensor(pictures: list[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(p) for p in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        latents: Tensor = vae.encode(pixels.float() / 127.5 - 1).latent_dist.mode()
    return latents


def keep(scenes: list[Scene], pixels: Tensor, latents: Tensor) -> None:
    """Adds to the pool, so that it can grow while a model trains on what is there."""
    pool, listed = WORK / "pool.pt", WORK / "pool.json"
    rows = [asdict(s) for s in scenes]
    if pool.exists():
        before = torch.load(pool)
        pixels, latents = torch.cat([before["pixels"], pixels]), torch.cat([before["latents"], latents])
        rows = json.loads(listed.read_text()) + rows
    torch.save({"pixels": pixels, "latents": latents}, pool)
    listed.write_text(json.dumps(rows))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The scenes of the drawings that are learned, with pixels (n, 3, 128, 128) and latents (n, 4, 16, 16)."""

    scenes: list[Scene]
    pixels: Tensor
    latents: Tensor
    scale: float
    """What brings the latents of the whole pool, whichever drawings are learned, to unit variance."""


def load_pool() -> Pool:
    stored = torch.load(WORK / "pool.pt", mmap=True)
    scenes = [Scene(**s) for s in json.loads((WORK / "pool.json").read_text())]
    latents, scale = stored["latents"], 1 / stored["latents"].std().item()
    return Pool(scenes=scenes, pixels=stored["pixels"], latents=latents, scale=scale)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=16, help="pictures of each drawing alone")
    parser.add_argument("--pairs", type=int, default=6000, help="pictures of two drawings")
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    rng, drawings = random.Random(arguments.seed), load_drawings()
    cutouts = [Image.fromarray(c) for c in load_cutouts()]
    chosen = list(range(len(drawings)))
    scenes = [s for i in chosen for s in single_scenes(rng, i, arguments.singles)]
    scenes += pair_scenes(rng, chosen, arguments.pairs)
    rng.shuffle(scenes)
    vae = AutoencoderKL.from_pretrained(WORK / "autoencoder").eval().to(memory_format=torch.channels_last)
    pixels, latents = [], []
    for start in range(0, len(scenes), 64):
        block = to_tensor([compose(rng, s, cutouts) for s in scenes[start : start + 64]])
        pixels.append(block)
        latents.append(encode(vae, block))
        print(f"\r{start + 64}/{len(scenes)}", end="", flush=True)
    keep(scenes, torch.cat(pixels), torch.cat(latents))


if __name__ == "__main__":
    main()
