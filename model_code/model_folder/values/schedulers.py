"""Values of scheduler_config.json. A scheduler ignores fields that it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .kinds import (
    COUNT,
    FLAG,
    FRACTION,
    LIST,
    NULL,
    NUMBER,
    POSITIVE,
    Kinds,
    check_fields,
    list_of,
    one_of,
    wrong_value,
)

_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
_PREDICTIONS = ("epsilon", "sample", "v_prediction")
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_ENDS_EARLY = ("dpmsolver", "sde-dpmsolver")
"""Algorithms that cannot end at a noise of zero."""
_OF_ALL: Kinds = {
    "num_train_timesteps": COUNT,
    "steps_offset": NUMBER,
}
_OF_NOISE: Kinds = _OF_ALL | {
    "beta_start": FRACTION,
    "beta_end": FRACTION,
    "beta_schedule": one_of(*_BETAS),
    "trained_betas": list_of(NUMBER) | NULL,
    "prediction_type": one_of(*_PREDICTIONS),
    "timestep_spacing": one_of("leading", "linspace", "trailing"),
    "rescale_betas_zero_snr": FLAG | NULL,
}
_OF_SIGMAS: Kinds = dict.fromkeys(_SIGMAS, FLAG)
_OF_SOLVERS: Kinds = {
    "prediction_type": one_of(*_PREDICTIONS, "flow_prediction"),
    "solver_order": COUNT,
    "solver_type": one_of("midpoint", "heun", "logrho", "bh1", "bh2"),
    "final_sigmas_type": one_of("zero", "sigma_min"),
}

_KINDS: Mapping[str, Kinds] = {
    "DDIMScheduler": _OF_NOISE,
    "DDPMScheduler": _OF_NOISE | {"beta_schedule": one_of(*_BETAS, "sigmoid")},
    "DPMSolverMultistepScheduler": _OF_NOISE
    | _OF_SIGMAS
    | _OF_SOLVERS
    | {
        "algorithm_type": one_of("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
        "lambda_min_clipped": NUMBER,
    },
    "EulerAncestralDiscreteScheduler": _OF_NOISE,
    "EulerDiscreteScheduler": _OF_NOISE
    | _OF_SIGMAS
    | {
        "prediction_type": one_of(*_PREDICTIONS, "original_sample"),
        "interpolation_type": one_of("linear", "log_linear"),
    },
    "FlowMatchEulerDiscreteScheduler": _OF_ALL
    | _OF_SIGMAS
    | {"shift": POSITIVE, "shift_terminal": NUMBER | NULL, "time_shift_type": one_of("exponential", "linear")},
    "FlowMatchHeunDiscreteScheduler": _OF_ALL | {"shift": POSITIVE},
    "HeunDiscreteScheduler": _OF_NOISE | _OF_SIGMAS | {"beta_schedule": one_of(*_BETAS, "exp")},
    "LCMScheduler": _OF_NOISE
    | {
        "original_inference_steps": COUNT,
        "timestep_scaling": NUMBER,
        "rescale_betas_zero_snr": one_of(False),  # its first step would divide by zero
    },
    "LMSDiscreteScheduler": _OF_NOISE | _OF_SIGMAS,
    "PNDMScheduler": _OF_NOISE | {"prediction_type": one_of("epsilon", "v_prediction")},
    "UniPCMultistepScheduler": _OF_NOISE
    | _OF_SIGMAS
    | _OF_SOLVERS
    | {
        "disable_corrector": LIST,
        "predict_x0": one_of(True),  # without it, the last step divides by zero
        "solver_p": NULL,
        "use_dynamic_shifting": one_of(False),
    },
}


def check_scheduler(path: str, class_name: str, settings: Mapping[str, Any]) -> None:
    """Raise ModelFolderError for a value with which the scheduler does not load, or stops at its first step."""
    check_fields(path, settings, _KINDS[class_name])
    sigmas = [name for name in _SIGMAS if name in _KINDS[class_name] and settings.get(name)]
    if len(sigmas) > 1:
        raise wrong_value(path, sigmas[1], True, f"It must be false, as {sigmas[0]} is true.")
    if settings.get("algorithm_type") in _ENDS_EARLY and settings.get("final_sigmas_type", "zero") == "zero":
        algorithm = settings["algorithm_type"]
        raise wrong_value(path, "final_sigmas_type", "zero", f"It must be sigma_min for the algorithm {algorithm}.")
