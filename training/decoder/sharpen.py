"""Crisp edges: `python -m decoder.sharpen --minutes 20`, after `export.py`, which then exports the new decoder.

The decoder learns to give back the exported decoder's images with steeper edges. A decoder that learns from originals
blurs each edge whose place the latents do not say exactly. Its own images have no such doubt: a filter makes them
steeper, and the decoder learns the filter's output. Real-ESRGAN (arXiv:2107.10833) sharpens its training images for the
same reason. Repeated after another export, it would sharpen what is sharp.
"""

import argparse
import random
import time

import torch
from autoencoder import ComposedImages, image_loss
from contact_sheet import RELEASE
from dataset import WORK, load_subjects
from diffusers import AutoencoderKL, StableDiffusionPipeline
from scenes import caption, pair_weights, random_scene
from torch import Tensor, nn
from torch.nn import functional

LUMINANCE = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
SMOOTH = torch.tensor([1.0, 2.8, 1.0]) / 4.8
"""A Gaussian of 0.7 pixels."""
LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)


def steepen(images: Tensor) -> Tensor:
    """Move each pixel of (n, 3, height, width), in [-1, 1], towards the darkest or brightest of its neighbours.

    That is a shock filter (Osher and Rudin 1990): which of them it is says the Laplacian of the smoothed luminance.
    Unlike an unsharp mask it leaves no halos.
    """
    grey = functional.pad((images * LUMINANCE).sum(1, keepdim=True), (2,) * 4, mode="replicate")
    grey = functional.conv2d(grey, SMOOTH.view(1, 1, 3, 1) * SMOOTH.view(1, 1, 1, 3))
    side = torch.tanh(30 * functional.conv2d(grey, LAPLACIAN))
    brightest = functional.max_pool2d(images, 3, 1, 1)
    darkest = -functional.max_pool2d(-images, 3, 1, 1)
    return images + 0.3 * torch.where(side > 0, side * (darkest - images), side * (images - brightest))


def generated_latents(count: int) -> Tensor:
    """Return latents that the released model generates, (count, 4, 16, 16), as its decoder gets them."""
    pipeline = StableDiffusionPipeline.from_pretrained(RELEASE, safety_checker=None, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    rng, subjects = random.Random(5), load_subjects()
    weights, found = pair_weights(subjects), list[Tensor]()
    for start in range(0, count, 16):
        scenes = [random_scene(rng, weights, 0.4) for _ in range(16)]
        prompts = [caption(rng, scene, subjects) for scene in scenes]
        noise = torch.Generator().manual_seed(start)
        output = pipeline(prompts, num_inference_steps=10, guidance_scale=2.0, generator=noise, output_type="latent")
        found.append(output.images / pipeline.vae.config.scaling_factor)
    return torch.cat(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=4e-4)
    arguments = parser.parse_args()
    torch.manual_seed(6)
    folder = WORK / "autoencoder"
    vae = AutoencoderKL.from_pretrained(folder)
    teacher = AutoencoderKL.from_pretrained(RELEASE / "vae", dtype=torch.float32).decoder
    generated, composed = generated_latents(960), ComposedImages()
    optimizer = torch.optim.AdamW(vae.decoder.parameters(), arguments.rate, betas=(0.9, 0.99), fused=True)
    start, step = time.monotonic(), 0
    while (progress := (time.monotonic() - start) / 60 / arguments.minutes) < 1:
        optimizer.param_groups[0]["lr"] = arguments.rate * min(1.0, (step + 1) / 50) * (1.02 - progress)
        chosen = torch.randint(0, len(generated), (4,))
        with torch.no_grad():
            encoded = vae.encode(composed.batch(4)).latent_dist.mode()
            latents = torch.cat([generated[chosen], encoded])
            latents = latents if step % 2 else latents.flip(-1)
            latents = vae.post_quant_conv(latents + 0.05 * torch.randn_like(latents))
            target = steepen(steepen(teacher(latents).clamp(-1, 1)))
        loss = image_loss(vae.decoder(latents), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.decoder.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            print(f"{progress:4.0%} step {step} loss {loss.item():.4f}", flush=True)
        if step % 500 == 0:
            vae.save_pretrained(folder)
    vae.save_pretrained(folder)


if __name__ == "__main__":
    main()
