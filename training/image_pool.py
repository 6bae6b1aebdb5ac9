"""Pool of composed and encoded images for the training: `python image_pool.py --singles 16 --pairs 6000`."""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from dataset import SITTING, USUAL, WORK, load_cutouts, load_subjects
from diffusers import AutoencoderKL
from PIL import Image
from scenes import BIG, COLOURS, SEATS, SMALL, Cutouts, Scene, Weights, compose_varied, pair_weights, random_pair
from torch import Tensor


def single_scenes(rng: random.Random, index: int, count: int) -> list[Scene]:
    """Return scenes of one subject: mostly on white, a sixth on a coloured ground, a sixth in another size."""
    other = max(1, count // 6)
    plain = [Scene(first=index)] * (count - 2 * other)
    grounds = [Scene(first=index, ground=rng.randrange(1, len(COLOURS))) for _ in range(other)]
    sizes = [Scene(first=index, size=rng.choice((SMALL, BIG))) for _ in range(other)]
    return plain + grounds + sizes


def pair_scenes(rng: random.Random, weights: Weights, count: int) -> list[Scene]:
    """Return scenes of two subjects; an eighth have a coloured ground."""
    return [
        random_pair(rng, weights, rng.randrange(1, len(COLOURS)) if rng.random() < 1 / 8 else 0) for _ in range(count)
    ]


def load_all_cutouts(usual: Path = USUAL, sitting: Path = SITTING) -> Cutouts:
    names = {subject.en[0]: i for i, subject in enumerate(load_subjects())}
    alone, above = ([Image.fromarray(pixels) for pixels in load_cutouts(file)] for file in (usual, sitting))
    return Cutouts(alone, above, {names[name]: seat for name, seat in SEATS.items()})


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(p) for p in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        latents: Tensor = vae.encode(pixels.float() / 127.5 - 1).latent_dist.mode()
    return latents


def encode_all(vae: AutoencoderKL, images: Sequence[Image.Image]) -> Tensor:
    parts = list[Tensor]()
    for start in range(0, len(images), 32):
        parts.append(encode(vae, to_tensor(images[start : start + 32])))
        print(f"\r{start + 32}/{len(images)}", end="", flush=True)
    return torch.cat(parts)


def add_to_pool(scenes: list[Scene], pixels: Tensor, latents: Tensor) -> None:
    """Append to the pool. It can grow while a model trains on it."""
    pool, index = WORK / "pool.pt", WORK / "pool.json"
    rows = [asdict(s) for s in scenes]
    if pool.exists():
        stored = torch.load(pool)
        pixels, latents = torch.cat([stored["pixels"], pixels]), torch.cat([stored["latents"], latents])
        rows = json.loads(index.read_text()) + rows
    torch.save({"pixels": pixels, "latents": latents}, pool)
    index.write_text(json.dumps(rows))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Scenes with their pixels (n, 3, 128, 128) and latents (n, 4, 16, 16)."""

    scenes: list[Scene]
    pixels: Tensor
    latents: Tensor
    scale: float
    """Factor that gives the latents unit variance."""


def load_pool() -> Pool:
    stored = torch.load(WORK / "pool.pt", mmap=True)
    scenes = [Scene(**s) for s in json.loads((WORK / "pool.json").read_text())]
    latents, scale = stored["latents"], 1 / stored["latents"].std().item()
    return Pool(scenes=scenes, pixels=stored["pixels"], latents=latents, scale=scale)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=16, help="images of each subject alone")
    parser.add_argument("--pairs", type=int, default=6000, help="images of two subjects")
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    rng, subjects = random.Random(arguments.seed), load_subjects()
    cutouts = load_all_cutouts()
    scenes = [s for i in range(len(subjects)) for s in single_scenes(rng, i, arguments.singles)]
    scenes += pair_scenes(rng, pair_weights(subjects), arguments.pairs)
    rng.shuffle(scenes)
    vae = AutoencoderKL.from_pretrained(WORK / "autoencoder").eval().to(memory_format=torch.channels_last)
    pixels, latents = [], []
    for start in range(0, len(scenes), 64):
        block = to_tensor([compose_varied(rng, s, cutouts) for s in scenes[start : start + 64]])
        pixels.append(block)
        latents.append(encode(vae, block))
        print(f"\r{start + 64}/{len(scenes)}", end="", flush=True)
    add_to_pool(scenes, torch.cat(pixels), torch.cat(latents))


if __name__ == "__main__":
    main()
