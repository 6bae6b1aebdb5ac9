"""Scheduler configurations: those of the catalogue's repositories, and others that people have."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract import ModelProfile, parse_profile
from stacks.config.catalogue import model_ids, read_model

ROOT = Path(__file__).parents[2]
SCALED_LINEAR = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
}  # fmt: skip
SDXL = SCALED_LINEAR | {
    "_class_name": "EulerDiscreteScheduler", "clip_sample": False, "interpolation_type": "linear",
    "prediction_type": "epsilon", "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True,
    "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False,
}  # fmt: skip
FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
    "invert_sigmas": False, "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0,
    "shift_terminal": None, "stochastic_sampling": False, "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}  # fmt: skip
CATALOGUE: Mapping[str, Mapping[str, Any]] = {
    "emoji": json.loads((ROOT / "models" / "emoji" / "scheduler" / "scheduler_config.json").read_text()),
    "flux.2-klein-4b": FLOW,
    "lcm-dreamshaper-v7": SCALED_LINEAR | {"_class_name": "LCMScheduler"},
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
    "exp": {"_class_name": "HeunDiscreteScheduler", "beta_schedule": "exp", "timestep_spacing": "trailing"},
    "sigmoid": {"_class_name": "DDPMScheduler", "beta_schedule": "sigmoid", "timestep_spacing": "trailing"},
    "lcm": SCALED_LINEAR | {"_class_name": "LCMScheduler", "clip_sample": True, "set_alpha_to_one": False},
}  # fmt: skip
"""Configurations of other models, with options that mean something else in another class."""


def load(config: Mapping[str, Any]) -> Any:
    """Return the scheduler of a configuration."""
    import diffusers

    return getattr(diffusers, config["_class_name"]).from_config(dict(config))


def profiles() -> list[ModelProfile]:
    """Return the profiles of the catalogue."""
    return [parse_profile(read_model(name, ROOT).profile) for name in model_ids(ROOT)]
