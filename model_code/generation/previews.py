"""Previews of a running generation: a linear map from each cell of the latents to the mean color of its pixels.

The map is fitted to the output of the model's own decoder, first at the warm-up: it needs no table of models and no
second decoder. A step costs one product of (cells, channels) and (channels, 3).
"""

import base64
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from images.files import Pixels

_TOKEN_SIDES = (16, 8, 32)
"""Pixels per side of one token, for latents that are a row of tokens."""
_RIDGE = 1e-4


class Projection:
    """Least squares over all images so far. A small ridge keeps it stable while they are few."""

    def __init__(self) -> None:
        self._gram: torch.Tensor | None = None
        self._moment: torch.Tensor | None = None
        self._map: torch.Tensor | None = None

    @property
    def ready(self) -> bool:
        """True after the first fit."""
        return self._map is not None

    def fit(self, latents: torch.Tensor, images: torch.Tensor) -> None:
        """Add the first image of a batch: latents of the last step and `images` (n, 3, height, width) in 0..1."""
        cells = _cells(latents, images.shape[3], images.shape[2])
        if cells is None:
            return
        rows, columns, _ = cells.shape
        colors = torch.nn.functional.adaptive_avg_pool2d(images[0].float(), (rows, columns)).cpu()
        features, targets = _features(cells).double(), colors.flatten(1).T.double()
        gram, moment = features.T @ features, features.T @ targets
        if self._gram is not None and self._moment is not None and self._gram.shape == gram.shape:
            gram, moment = self._gram + gram, self._moment + moment
        self._gram, self._moment = gram, moment
        ridge = _RIDGE * torch.diagonal(gram).mean() * torch.eye(len(gram), dtype=gram.dtype)
        self._map = torch.linalg.solve(gram + ridge, moment).float()

    def render(self, latents: torch.Tensor, width: int, height: int) -> Pixels | None:
        """Return the first image of the batch, one pixel per cell, or None if no fit has this layout."""
        cells = _cells(latents, width, height)
        if cells is None or self._map is None or cells.shape[2] + 1 != len(self._map):
            return None
        colors = (_features(cells) @ self._map).reshape(*cells.shape[:2], 3)
        pixels: Pixels = (colors.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        return pixels


def encode_preview(pixels: Pixels) -> str:
    """Return base64 of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=85, subsampling=0)
    return base64.b64encode(file.getvalue()).decode("ascii")


def track_finished_latents(scheduler: Any) -> Callable[[], torch.Tensor | None]:
    """Return a function that returns the scheduler's latest prediction of the finished latents, or None if it has none.

    The latents themselves are mostly noise for the first half of the steps.
    """
    latest: list[torch.Tensor | None] = [None]
    original_step = scheduler.step

    @functools.wraps(original_step)  # pipelines inspect the signature
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, return_dict: bool = True, **named: Any) -> Any:
        output = original_step(model_output, timestep, sample, *args, return_dict=True, **named)
        latest[0] = _finished_latents(scheduler, output, model_output, sample)
        return output if return_dict else output.to_tuple()

    scheduler.step = step
    return lambda: latest[0]


def _finished_latents(
    scheduler: Any, output: Any, model_output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    prediction: torch.Tensor | None = getattr(output, "pred_original_sample", getattr(output, "denoised", None))
    if scheduler.config.get("algorithm_type") == "dpmsolver++" or scheduler.config.get("predict_x0"):
        prediction = scheduler.model_outputs[-1]
    elif prediction is None and type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
        prediction = sample - scheduler.sigmas[scheduler.step_index - 1] * model_output
    return prediction


def _cells(latents: torch.Tensor, width: int, height: int) -> torch.Tensor | None:
    """Return (rows, columns, channels) of the first image, on the CPU, or None for an unknown layout."""
    first = latents[0].detach().float().cpu()
    if latents.ndim == 4:
        return first.permute(1, 2, 0)
    if latents.ndim == 3:
        shapes = ((height // side, width // side) for side in _TOKEN_SIDES)
        shape = next((shape for shape in shapes if shape[0] * shape[1] == len(first)), None)
        return first.reshape(*shape, -1) if shape else None
    return None


def _features(cells: torch.Tensor) -> torch.Tensor:
    """Return (cells, channels + 1); the last column is 1."""
    flat = cells.flatten(0, 1)
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
