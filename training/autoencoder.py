"""The autoencoder: `python autoencoder.py --minutes 40`, later `--decoder --minutes 15`.

The first command trains the whole on composed images. The second needs the pool and trains the decoder alone: the
encoder, and with it every latent of the pool, stays as it is.
"""

import argparse
import random
import time

import torch
from dataset import SIZE, WORK, load_subjects
from diffusers import AutoencoderKL
from image_pool import load_all_cutouts, load_pool, to_tensor
from scenes import compose_varied, pair_weights, random_scene
from torch import Tensor, nn


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def image_loss(decoded: Tensor, original: Tensor) -> Tensor:
    """L1 of the colours plus L1 of the edges. Edges are learned first, colours last."""
    lines = [(a - b).abs().mean() for a, b in zip(edges(decoded), edges(original), strict=True)]
    return (decoded - original).abs().mean() + lines[0] + lines[1]


class ComposedImages:
    """Endless batches of composed images."""

    def __init__(self) -> None:
        self.rng, self.weights = random.Random(4), pair_weights(load_subjects())
        self.cutouts = load_all_cutouts()

    def batch(self, size: int) -> Tensor:
        scenes = [random_scene(self.rng, self.weights, 0.3) for _ in range(size)]
        images = [compose_varied(self.rng, s, self.cutouts) for s in scenes]
        return to_tensor(images).float() / 127.5 - 1


def whole_loss(vae: AutoencoderKL, images: Tensor) -> Tensor:
    posterior = vae.encode(images).latent_dist
    latents = posterior.sample()
    loss = image_loss(vae.decode(latents).sample, images)
    return loss + 4e-4 * posterior.kl().mean() / latents[0].numel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--decoder", action="store_true", help="train the decoder alone, on the pool's latents")
    arguments = parser.parse_args()
    torch.manual_seed(3)
    folder = WORK / "autoencoder"
    vae = AutoencoderKL.from_pretrained(folder) if folder.exists() else new_autoencoder()
    vae.to(memory_format=torch.channels_last)
    source = load_pool() if arguments.decoder else ComposedImages()
    learned = vae.decoder if arguments.decoder else vae
    optimizer = torch.optim.AdamW(
        learned.parameters(), arguments.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    start, saved, step, size = time.monotonic(), 0.0, 0, arguments.batch
    while (progress := (time.monotonic() - start) / 60 / arguments.minutes) < 1:
        optimizer.param_groups[0]["lr"] = arguments.rate * min(1.0, (step + 1) / 50) * (1.02 - progress)
        if isinstance(source, ComposedImages):
            loss = whole_loss(vae, source.batch(size))
        else:
            chosen = torch.randint(0, len(source.scenes), (size,))
            latents = source.latents[chosen]
            decoded = vae.decode(latents + 0.04 * torch.randn_like(latents)).sample
            loss = image_loss(decoded, source.pixels[chosen].float() / 127.5 - 1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            print(f"{progress:4.0%} step {step} loss {loss.item():.4f}", flush=True)
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            vae.save_pretrained(folder)
    vae.save_pretrained(folder)


if __name__ == "__main__":
    main()
