"""How a picture looks so far: a linear map from each cell of the latents to the mean colour of its pixels.

The map is fitted to what the model's own decoder makes of its latents, beginning with the warm-up: no table of models,
no second decoder. A step costs one product of (cells, channels) and (channels, 3).
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

_BLOCKS = (16, 8, 32)
"""Pixels a side of one token, where latents come as a row of tokens."""
_RIDGE = 1e-4


class Projection:
    """Least squares over all pictures that it has seen; a small ridge keeps it calm while they are few."""

    def __init__(self) -> None:
        self._left: torch.Tensor | None = None
        self._right: torch.Tensor | None = None
        self._map: torch.Tensor | None = None

    @property
    def ready(self) -> bool:
        return self._map is not None

    def learn(self, latents: torch.Tensor, images: torch.Tensor) -> None:
        """`latents` of the last step and `images` (n, 3, height, width) in 0..1, of the first picture of a batch."""
        cells = _cells(latents, images.shape[3], images.shape[2])
        if cells is None:
            return
        rows, columns, _ = cells.shape
        colours = torch.nn.functional.adaptive_avg_pool2d(images[0].float(), (rows, columns)).cpu()
        features, wanted = _features(cells).double(), colours.flatten(1).T.double()
        left, right = features.T @ features, features.T @ wanted
        if self._left is not None and self._right is not None and self._left.shape == left.shape:
            left, right = self._left + left, self._right + right
        self._left, self._right = left, right
        calm = _RIDGE * torch.diagonal(left).mean() * torch.eye(len(left), dtype=left.dtype)
        self._map = torch.linalg.solve(left + calm, right).float()

    def look(self, latents: torch.Tensor, width: int, height: int) -> Pixels | None:
        """The first picture of the batch, one pixel a cell; None where nothing fitting was learnt."""
        cells = _cells(latents, width, height)
        if cells is None or self._map is None or cells.shape[2] + 1 != len(self._map):
            return None
        colours = (_features(cells) @ self._map).reshape(*cells.shape[:2], 3)
        seen: Pixels = (colours.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        return seen


def encode(pixels: Pixels) -> str:
    """base64 of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=85, subsampling=0)
    return base64.b64encode(file.getvalue()).decode("ascii")


def watch(scheduler: Any) -> Callable[[], torch.Tensor | None]:
    """Tells what each step of `scheduler` takes for the finished latents; None where this scheduler does not say.

    The latents themselves are mostly noise for half of the way.
    """
    seen: list[torch.Tensor | None] = [None]
    inner = scheduler.step

    @functools.wraps(inner)  # pipelines look at the signature
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, return_dict: bool = True, **named: Any) -> Any:
        output = inner(model_output, timestep, sample, *args, return_dict=True, **named)
        seen[0] = _finished(scheduler, output, model_output, sample)
        return output if return_dict else (output.prev_sample,)

    scheduler.step = step
    return lambda: seen[0]


def _finished(scheduler: Any, output: Any, model_output: torch.Tensor, sample: torch.Tensor) -> torch.Tensor | None:
    told: torch.Tensor | None = getattr(output, "pred_original_sample", None)
    if scheduler.config.get("algorithm_type") == "dpmsolver++" or scheduler.config.get("predict_x0"):
        told = scheduler.model_outputs[-1]
    elif told is None and type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
        told = sample - scheduler.sigmas[scheduler.step_index - 1] * model_output
    return told


def _cells(latents: torch.Tensor, width: int, height: int) -> torch.Tensor | None:
    """(rows, columns, channels) of the first picture, on the CPU; None for a layout that is not known."""
    first = latents[0].detach().float().cpu()
    if latents.ndim == 4:
        return first.permute(1, 2, 0)
    if latents.ndim == 3:
        sides = ((height // block, width // block) for block in _BLOCKS)
        rows = next((side for side in sides if side[0] * side[1] == len(first)), None)
        return first.reshape(*rows, -1) if rows else None
    return None


def _features(cells: torch.Tensor) -> torch.Tensor:
    """(cells, channels + 1): the last is 1."""
    flat = cells.flatten(0, 1)
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
