"""The schedulers of the contract as classes of diffusers. Each request creates its own from the loaded scheduler.

A scheduler of another class takes only what the model was trained with. Other options of the loaded configuration mean
something else in another class, or leave noise in the image.
"""

import functools
import importlib.util
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from contract import SCHEDULERS, STEPS, refuse

_UNCLIPPED = {"clip_sample": False}
"""Latents are not limited to [-1, 1]."""
_TO_ZERO = {"set_alpha_to_one": True}
_SIGMA_TO_ZERO = {"final_sigmas_type": "zero"}
"""The last step removes all noise. Stable Diffusion's configurations leave 2.9 % of it."""
_DPMPP_2M = _SIGMA_TO_ZERO | {"algorithm_type": "dpmsolver++", "solver_order": 2, "lower_order_final": True}

_CLASSES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", _UNCLIPPED | _TO_ZERO),
    "ddpm": ("DDPMScheduler", _UNCLIPPED),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", _DPMPP_2M | {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", _DPMPP_2M | {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", _SIGMA_TO_ZERO),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", _UNCLIPPED),
    "lcm": ("LCMScheduler", _UNCLIPPED | _TO_ZERO),
    "lms": ("LMSDiscreteScheduler", {}),
    # Its formula expects timesteps at equal distances.
    "pndm": ("PNDMScheduler", _TO_ZERO | {"skip_prk_steps": True, "timestep_spacing": "leading"}),
    "unipc": ("UniPCMultistepScheduler", _SIGMA_TO_ZERO | {"lower_order_final": True}),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
}

_TRAINED_WITH = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "rescale_betas_zero_snr", "timestep_spacing", "steps_offset",
)  # fmt: skip
"""What a scheduler of another class takes from the loaded one."""
_COMMON_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Values of `beta_schedule` that all classes have."""
_SMALLEST_ALPHA = 2**-24
"""In place of zero, as in diffusers: some classes divide by it."""

CLASS_NAMES = frozenset(name for name, _ in _CLASSES.values())


def create_scheduler(name: str, loaded: Any) -> Any:
    """Return a new scheduler `name` with the noise schedule of `loaded`.

    Raises EaselError `config_error`: the scheduler needs a package that is not installed.
    """
    import diffusers

    if name == "lms" and importlib.util.find_spec("scipy") is None:
        refuse("config_error", "scheduler", "lms needs scipy, which is not installed", "Choose another scheduler.")
    class_name, options = _CLASSES[name]
    scheduler_class = _exact_ddim() if name == "ddim" else getattr(diffusers, class_name)
    if type(loaded).__name__ == class_name:
        return scheduler_class.from_config(loaded.config, **options)
    defaults = loaded.config.get("_use_default_values", ())
    kept = {key: loaded.config[key] for key in _TRAINED_WITH if key in loaded.config and key not in defaults}
    unknown = kept.get("beta_schedule") not in (None, *_COMMON_BETAS)
    if unknown or (kept.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in _parameters(scheduler_class)):
        kept["trained_betas"] = _own_betas(loaded)
    return scheduler_class.from_config(kept, **options)


def _parameters(scheduler_class: Any) -> Mapping[str, Any]:
    return inspect.signature(scheduler_class.__init__).parameters


def _own_betas(loaded: Any) -> list[float]:
    """Return the betas of a scheduler, for a class that cannot compute them."""
    alphas = loaded.alphas_cumprod.double().clamp(min=_SMALLEST_ALPHA)
    betas: list[float] = (1 - alphas / torch.cat([torch.ones(1).double(), alphas[:-1]])).tolist()
    return betas


@functools.cache
def _exact_ddim() -> Any:
    """Return a DDIMScheduler whose steps end at the next timestep; after the last step no noise is left.

    The class of diffusers subtracts num_train_timesteps // num_inference_steps from each timestep. With `trailing` or
    `linspace` spacing that is another timestep, and for many numbers of steps 2.9 % of the noise is left.
    """
    import diffusers

    class DDIMScheduler(diffusers.DDIMScheduler):  # type: ignore[misc]
        def step(self, model_output: Any, timestep: Any, sample: Any, *args: Any, **named: Any) -> Any:
            later = self.timesteps[self.timesteps < int(timestep)]
            alphas: torch.Tensor = vars(self)["alphas_cumprod"]
            alpha = alphas[int(later[0])] if len(later) else torch.tensor(1.0)
            reached = int(timestep) - self.config.num_train_timesteps // self.num_inference_steps
            self.final_alpha_cumprod = alpha
            if reached >= 0:
                self.alphas_cumprod = alphas.clone()
                self.alphas_cumprod[reached] = alpha
            try:
                return super().step(model_output, timestep, sample, *args, **named)
            finally:
                self.alphas_cumprod = alphas

    return DDIMScheduler


def max_steps(scheduler: Any) -> int:
    """Return the most steps that a scheduler takes: its schedule may be shorter than the contract's bound."""
    config = scheduler.config
    length: int = config["num_train_timesteps"] - config.get("steps_offset", 0)
    is_lcm = type(scheduler).__name__ == "LCMScheduler"
    return min(STEPS.maximum, length, int(config["original_inference_steps"]) if is_lcm else length)


def check_steps(scheduler: Any, steps: int, param: str = "num_inference_steps") -> None:
    """Raise `out_of_range` for more steps than the scheduler of this model has."""
    limit = max_steps(scheduler)
    if steps > limit:
        message = f"this model's scheduler allows at most {limit} steps"
        refuse("out_of_range", param, message, f"Send {STEPS.minimum} to {limit}.")


def scheduler_name(loaded: Any) -> str:
    """Return the contract's name of a scheduler, whose class is in CLASS_NAMES."""
    if type(loaded).__name__ == "DPMSolverMultistepScheduler" and loaded.config.get("use_karras_sigmas"):
        return "dpmpp_2m_karras"
    return next(name for name, (class_name, _) in _CLASSES.items() if class_name == type(loaded).__name__)


def compatible_schedulers(loaded: Any) -> tuple[str, ...]:
    """Return the names that can replace `loaded`: those that diffusers calls compatible; flow models keep their own."""
    own = scheduler_name(loaded)
    if loaded.config.get("prediction_type") == "flow_prediction":
        return (own,)
    compatible = {cls.__name__ for cls in loaded.compatibles}
    left_out = {"lms", *_inexact(loaded.config)}
    return tuple(
        name for name in SCHEDULERS if name == own or (name not in left_out and _CLASSES[name][0] in compatible)
    )


def _inexact(config: Mapping[str, Any]) -> set[str]:
    """Return the schedulers that do not reach a noise-free image with this configuration."""
    inexact = set()
    if config.get("prediction_type", "epsilon") != "epsilon":
        inexact.add("pndm")  # it averages predictions of different timesteps, which only noise allows
    if config.get("rescale_betas_zero_snr"):
        inexact.add("dpmpp_2m_karras")  # its first timesteps are all the same
    return inexact
