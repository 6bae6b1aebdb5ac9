"""The schedulers of the contract as classes of diffusers. Each request creates its own from the loaded scheduler."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from contract import SCHEDULERS, STEPS, refuse

_MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
# By default these two classes clip latents to [-1, 1].
_UNCLIPPED = {"clip_sample": False}

_CLASSES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", _UNCLIPPED),
    "ddpm": ("DDPMScheduler", _UNCLIPPED),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", _MULTISTEP),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", _MULTISTEP | {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
}

CLASS_NAMES = frozenset(name for name, _ in _CLASSES.values())


def create_scheduler(name: str, loaded: Any) -> Any:
    """Return a new scheduler `name` with the noise schedule of `loaded`.

    Raises EaselError `config_error`: the scheduler needs a package that is not installed.
    """
    import diffusers

    if name == "lms" and importlib.util.find_spec("scipy") is None:
        refuse("config_error", "scheduler", "lms needs scipy, which is not installed", "Choose another scheduler.")
    class_name, options = _CLASSES[name]
    return getattr(diffusers, class_name).from_config(loaded.config, **options)


def max_steps(scheduler: Any) -> int:
    """Return the most steps that a scheduler takes: its schedule may be shorter than the contract's bound."""
    config = scheduler.config
    length = config["num_train_timesteps"] - config.get("steps_offset", 0)
    is_lcm = type(scheduler).__name__ == "LCMScheduler"
    return min(STEPS.maximum, length, config["original_inference_steps"] if is_lcm else length)


def check_steps(scheduler: Any, steps: int) -> None:
    """Raise `out_of_range` for more steps than the scheduler of this model has."""
    limit = max_steps(scheduler)
    if steps > limit:
        message = f"this model's scheduler allows at most {limit} steps"
        refuse("out_of_range", "num_inference_steps", message, f"Send {STEPS.minimum} to {limit}.")


def scheduler_name(loaded: Any) -> str:
    """Return the contract's name of a scheduler, whose class is in CLASS_NAMES."""
    return next(name for name, (class_name, _) in _CLASSES.items() if class_name == type(loaded).__name__)


def compatible_schedulers(loaded: Any) -> tuple[str, ...]:
    """Return the names that can replace `loaded`: those that diffusers calls compatible; flow models keep their own."""
    own = scheduler_name(loaded)
    if loaded.config.get("prediction_type") == "flow_prediction":
        return (own,)
    compatible = {cls.__name__ for cls in loaded.compatibles}
    return tuple(name for name in SCHEDULERS if name == own or (name != "lms" and _CLASSES[name][0] in compatible))
