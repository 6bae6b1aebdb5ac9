"""The profile of a loaded model: what requests it accepts, and its defaults."""

import inspect
import json
import os
from dataclasses import dataclass
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Any

from contract import (
    CONTENT,
    SIDE,
    SIDE_MULTIPLE,
    ModelProfile,
    ProfileControl,
    ProfileEmbedding,
    ProfileLora,
    parse_profile,
)
from generation.img2img import PIPELINES
from generation.pipeline_arguments import takes_guidance_scale, takes_negative_prompt
from generation.prompt_encoder import clip_layers
from generation.schedulers import compatible_schedulers, max_steps, scheduler_name
from model_folder import CONTROL_PIPELINES, EDITORS, EXTRAS, CheckedModel, extra_ids, extra_path

_DEFAULT_SIDE = 1024


@dataclass(frozen=True)
class LoadingOptions:
    """The part of a catalogue entry about loading. None: the model's class and the files decide."""

    dtype: str | None = None
    variant: str | None = None
    extras: tuple[str, ...] | None = None
    """Paths of LoRAs, ControlNets and embeddings; None: those of the folder."""


def loading_options() -> LoadingOptions:
    """Return the options in EASEL_MODEL_PROFILE. It has them beside the fields of the profile."""
    value = json.loads(_profile_text() or "null")
    if value is None:
        return LoadingOptions()
    extras = (extra_path(folder, extra["id"]) for folder in EXTRAS for extra in value.get(folder, ()))
    return LoadingOptions(value.get("dtype"), value.get("variant"), tuple(extras))


def model_profile(pipeline: Any, folder: Path, checked: CheckedModel) -> ModelProfile:
    """Return the profile in EASEL_MODEL_PROFILE, or by default one from the pipeline's own defaults."""
    text = _profile_text()
    return parse_profile(text) if text else _derived_profile(pipeline, folder, checked)


def _profile_text() -> str:
    """Return EASEL_MODEL_PROFILE. Where a variable has at most 1,024 characters, EASEL_MODEL_PROFILE_2 and so on have
    the rest."""
    names = chain(["EASEL_MODEL_PROFILE"], (f"EASEL_MODEL_PROFILE_{i}" for i in count(2)))
    return "".join(takewhile(bool, (os.environ.get(name, "") for name in names)))


def _derived_profile(pipeline: Any, folder: Path, checked: CheckedModel) -> ModelProfile:
    defaults = {name: p.default for name, p in inspect.signature(pipeline.__call__).parameters.items()}
    side, limit = _native_side(pipeline), max_steps(pipeline.scheduler)
    return ModelProfile(
        id=folder.name,
        name=type(pipeline).__name__,
        licence="unknown",
        sizes=((side, side),),
        max_side=SIDE.maximum,
        steps=min(defaults["num_inference_steps"], limit),
        guidance_scale=float(defaults.get("guidance_scale") or defaults.get("true_cfg_scale") or 0),
        scheduler=scheduler_name(pipeline.scheduler),
        schedulers=compatible_schedulers(pipeline.scheduler),
        max_steps=limit,
        image_to_image=type(pipeline).__name__ in PIPELINES,
        edits=EDITORS.get(type(pipeline).__name__, 0),
        takes_negative_prompt=takes_negative_prompt(pipeline),
        takes_guidance_scale=takes_guidance_scale(pipeline),
        loras=tuple(ProfileLora(id=id) for id in extra_ids(checked.extras, "loras")),
        controls=tuple(ProfileControl(id=id) for id in extra_ids(checked.extras, "controls")),
        **_control_support(type(pipeline).__name__),
        embeddings=tuple(ProfileEmbedding(id=id) for id in extra_ids(checked.extras, "embeddings")),
        clip_layers=clip_layers(pipeline),
        content=CONTENT[:1] if getattr(pipeline, "safety_checker", None) else (),
    )


def _control_support(pipeline: str) -> dict[str, Any]:
    """Return the fields of a profile about what goes with ControlNets."""
    family = CONTROL_PIPELINES.get(pipeline)
    return (
        {
            "most_controls": family.most,
            "control_cost_percent": family.cost_percent,
            "control_without": family.without,
        }
        if family
        else {}
    )


def _native_side(pipeline: Any) -> int:
    """Return pixels. `sample_size` of a UNet counts latents; most transformers have no useful value and use 1024."""
    unet = getattr(pipeline, "unet", None)
    latents = unet.config.sample_size if unet is not None else None
    if not isinstance(latents, int):
        return _DEFAULT_SIDE
    side = latents * int(pipeline.vae_scale_factor)
    return max(SIDE.minimum, min(SIDE.maximum, side - side % SIDE_MULTIPLE))
