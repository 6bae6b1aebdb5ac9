"""Every scheduler of every catalogue entry with a perfect model: after the last step no noise is left."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract import ModelProfile, parse_profile, steps_bound
from generation.schedulers import compatible_schedulers, create_scheduler
from stacks.config.catalogue import model_ids, read_model

ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-3
"""Standard deviation of the remaining noise. Stable Diffusion's own options leave 0.029."""
SCALED_LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
SDXL = SCALED_LINEAR | {
    "_class_name": "EulerDiscreteScheduler", "clip_sample": False, "interpolation_type": "linear",
    "prediction_type": "epsilon", "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True,
    "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False,
}  # fmt: skip
FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
    "invert_sigmas": False, "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0,
    "shift_terminal": None, "stochastic_sampling": False, "time_shift_type": "exponential", "use_dynamic_shifting": True,
}  # fmt: skip
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "emoji": json.loads((ROOT / "models" / "emoji" / "scheduler" / "scheduler_config.json").read_text()),
    "flux.2-klein-4b": FLOW,
    "sd-1.5": SCALED_LINEAR | {
        "_class_name": "PNDMScheduler", "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True,
        "steps_offset": 1, "trained_betas": None,
    },
    "sdxl": SDXL,
    "sdxl-lcm": SDXL,
    "z-image-turbo": {
        "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "use_dynamic_shifting": False,
        "shift": 3.0,
    },
}  # fmt: skip
"""scheduler_config.json of the repository of each entry."""
HOSTILE: Mapping[str, Mapping[str, Any]] = {
    "zero-snr": SDXL | {
        "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
    },
    "v-prediction": SDXL | {"prediction_type": "v_prediction", "timestep_spacing": "linspace"},
    "few-steps": SDXL | {"timestep_spacing": "trailing", "steps_offset": 0},
    "dpmpp": SCALED_LINEAR | {
        "_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "euler_at_final": False,
        "final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_order": 3, "solver_type": "heun",
        "steps_offset": 1, "thresholding": False, "timestep_spacing": "leading", "use_karras_sigmas": True,
    },
    "ddim": SCALED_LINEAR | {
        "_class_name": "DDIMScheduler", "clip_sample": True, "set_alpha_to_one": False, "steps_offset": 0,
        "timestep_spacing": "linspace",
    },
    "unipc": SCALED_LINEAR | {
        "_class_name": "UniPCMultistepScheduler", "final_sigmas_type": "sigma_min", "solver_type": "bh1",
        "lower_order_final": False, "steps_offset": 1, "use_karras_sigmas": True,
    },
    "lcm": SCALED_LINEAR | {"_class_name": "LCMScheduler", "clip_sample": True, "set_alpha_to_one": False},
}  # fmt: skip
"""Configurations of other models, with options that mean something else in another class."""


def load(config: Mapping[str, Any]) -> Any:
    import diffusers

    return getattr(diffusers, config["_class_name"]).from_config(dict(config))


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


def schedulers_of_entries() -> Iterator[Any]:
    for name in model_ids(ROOT):
        profile = parse_profile(read_model(name, ROOT).profile)
        for scheduler in profile.schedulers:
            yield pytest.param(profile, scheduler, id=f"{name}-{scheduler}")


@pytest.mark.parametrize(("profile", "scheduler"), list(schedulers_of_entries()))
def test_no_noise_is_left_by_any_scheduler_of_the_catalogue(profile: ModelProfile, scheduler: str) -> None:
    loaded = load(CONFIGS[profile.id])
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
