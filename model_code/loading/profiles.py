"""Which request a model takes: told by the deployment, or read off the pipeline so that a folder runs alone."""

import inspect
import os
from pathlib import Path
from typing import Any

from contract import SIDE, SIDE_MULTIPLE, ModelProfile, parse_profile
from generation import img2img, schedulers

_USUAL_SIDE = 1024


def of(pipeline: Any, folder: Path) -> ModelProfile:
    """The profile in EASEL_MODEL_PROFILE, else one from the pipeline's own defaults."""
    told = os.environ.get("EASEL_MODEL_PROFILE")
    return parse_profile(told) if told else _derived(pipeline, folder)


def _derived(pipeline: Any, folder: Path) -> ModelProfile:
    defaults = {name: p.default for name, p in inspect.signature(pipeline.__call__).parameters.items()}
    side = _native_side(pipeline)
    return ModelProfile(
        id=folder.name,
        name=type(pipeline).__name__,
        licence="unknown",
        sizes=((side, side),),
        max_side=SIDE.maximum,
        steps=defaults["num_inference_steps"],
        guidance_scale=float(defaults.get("guidance_scale") or defaults.get("true_cfg_scale") or 0),
        scheduler=schedulers.native(pipeline.scheduler),
        schedulers=schedulers.usable(pipeline.scheduler),
        image_to_image=type(pipeline).__name__ in img2img.PIPELINES,
    )


def _native_side(pipeline: Any) -> int:
    """Pixels. A UNet's `sample_size` counts latents; most transformers say nothing of use, and draw 1024."""
    unet = getattr(pipeline, "unet", None)
    latents = unet.config.sample_size if unet is not None else None
    if not isinstance(latents, int):
        return _USUAL_SIDE
    side = latents * int(pipeline.vae_scale_factor)
    return max(SIDE.minimum, min(SIDE.maximum, side - side % SIDE_MULTIPLE))
