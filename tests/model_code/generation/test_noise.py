"""Every scheduler of every catalogue entry with a perfect model: after the last step no noise is left."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from contract import ModelProfile, steps_bound
from generation.schedulers import compatible_schedulers, create_scheduler
from tests.model_code.scheduler_configs import CATALOGUE, HOSTILE, load, schedulers_of_entries

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


@pytest.mark.parametrize(("profile", "scheduler"), schedulers_of_entries())
def test_no_noise_is_left_by_any_scheduler_of_the_catalogue(profile: ModelProfile, scheduler: str) -> None:
    loaded = load(CATALOGUE[profile.id])
    bound = steps_bound(profile, scheduler)
    for steps in sorted({bound.minimum, 2, 3, profile.steps, 7, 15, 25, bound.maximum}):
        left = flow_noise_left(loaded, steps) if scheduler == "flow_euler" else noise_left(scheduler, loaded, steps)
        assert left < TOLERANCE, steps


@pytest.mark.parametrize("name", HOSTILE)
def test_no_noise_is_left_by_the_schedulers_that_a_folder_offers(name: str) -> None:
    loaded = load(HOSTILE[name])
    left = {
        (scheduler, steps): noise_left(scheduler, loaded, steps)
        for scheduler in compatible_schedulers(loaded)
        for steps in (1, 4, 7, 25, 50)
    }
    assert {key: value for key, value in left.items() if value > TOLERANCE} == {}
