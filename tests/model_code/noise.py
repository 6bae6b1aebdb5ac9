"""A perfect model, and the noise that a scheduler leaves with it. Runs with the laptop's and the image's versions."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from contract import ModelProfile, steps_bound
from generation.schedulers import create_scheduler
from tests.model_code.scheduler_configs import CATALOGUE, load, profiles

TOLERANCE = 1e-3
"""Standard deviation of the remaining noise. Stable Diffusion's own options leave 0.029."""


def prediction(loaded: Any, sample: torch.Tensor, timestep: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return what a perfect model with the loaded noise schedule would return for `sample`."""
    alphas = loaded.alphas_cumprod.double().clamp(min=2**-24)
    low, part = int(timestep), float(timestep) % 1
    log = torch.log((1 - alphas) / alphas)
    alpha = 1 / (1 + torch.exp(log[low] * (1 - part) + log[min(low + 1, len(log) - 1)] * part))
    noise = (sample - alpha.sqrt() * clean) / (1 - alpha).sqrt()
    if loaded.config.prediction_type == "v_prediction":
        return (alpha.sqrt() * noise - (1 - alpha).sqrt() * clean).float()
    return noise.float()


def noise_left(name: str, loaded: Any, steps: int) -> float:
    """Return the standard deviation of the noise after the last step."""
    scheduler, generator = create_scheduler(name, loaded), torch.Generator().manual_seed(0)
    scheduler.set_timesteps(steps)
    clean = 3 * torch.randn(1, 4, 16, 16, generator=generator)  # beyond [-1, 1], where clipping would show
    sample = torch.randn(1, 4, 16, 16, generator=generator) * scheduler.init_noise_sigma
    named = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        output = prediction(loaded, scheduler.scale_model_input(sample, timestep), timestep, clean)
        sample = scheduler.step(output, timestep, sample, **named).prev_sample
    return float((sample - clean).std())


def flow_noise_left(loaded: Any, steps: int) -> float:
    """Return the same for a model that predicts flow. The sigmas are those of the pipelines."""
    scheduler = create_scheduler("flow_euler", loaded)
    named = {"mu": 1.15} if loaded.config.use_dynamic_shifting else {}
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist(), **named)
    clean, noise = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    sample = noise
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas[:-1], strict=True):
        sample = scheduler.step((sample - clean) / sigma, timestep, sample).prev_sample
    return float((sample - clean).std())


def noise_of_entry(profile: ModelProfile, scheduler: str) -> Iterator[tuple[int, float]]:
    """Yield (steps, noise left) for the fewest, the default, the most and some other numbers of steps."""
    loaded, bound = load(CATALOGUE[profile.id]), steps_bound(profile, scheduler)
    for steps in sorted({bound.minimum, 2, 3, profile.steps, 7, 15, 25, bound.maximum}):
        is_flow = scheduler == "flow_euler"
        yield steps, flow_noise_left(loaded, steps) if is_flow else noise_left(scheduler, loaded, steps)


if __name__ == "__main__":
    print(json.dumps({p.id: max(left for s in p.schedulers for _, left in noise_of_entry(p, s)) for p in profiles()}))
