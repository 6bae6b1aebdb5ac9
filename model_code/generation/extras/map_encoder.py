"""The latents of maps for ControlNets of Stable Diffusion 3."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image


class MapEncoder:
    """Stands in for the VAE of a pipeline: it returns the mean of a map's latents.

    The pipeline would take a sample for each image and each half of the guidance, which no seed decides.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)

    def encode(self, images: torch.Tensor) -> Any:
        """Return the latents of a batch that has one map many times."""
        output = self._vae.encode(images[:1])
        latents = output.latents if hasattr(output, "latents") else output.latent_dist.mode()
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: latents.repeat(len(images), 1, 1, 1)))


def raw_map(image: Image.Image) -> torch.Tensor:
    """Return a map as Stability AI's ControlNet for edges reads it: pixels from 0.5 to 128."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 2 + 0.5).permute(2, 0, 1)[None]
