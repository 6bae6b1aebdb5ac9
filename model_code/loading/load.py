"""A model folder, loaded once `layout` has nothing against it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from container_log import log
from contract import IMAGES, SIDE, EaselError, GenerationRequest, refuse
from generation import vocabulary
from generation.generate import Model, draw
from generation.gpu_memory import Memory
from loading.classes import PIPELINES
from loading.hardware import Hardware, choose
from loading.model_folder import check
from loading.profiles import of as profile_of


def load(folder: Path) -> Model:
    """A model that has drawn once, so that its first user does not wait for what happens only once.

    Raises EaselError `config_error`: the folder is refused.
    """
    pipeline_class = check(folder)
    weights = list(folder.rglob("*.safetensors"))
    _read_ahead(weights)
    family = PIPELINES[pipeline_class]
    hardware = choose(sum(file.stat().st_size for file in weights), family.dtypes)
    pipeline = _load_pipeline(folder, pipeline_class, hardware, weights)
    profile = profile_of(pipeline, folder)
    # One by one elsewhere: about as fast, and picture i has the very bytes that its seed alone has.
    at_once = IMAGES.maximum if hardware.device == "cuda" else 1
    model = Model(pipeline, profile, family.grid, at_once, Memory(), vocabulary=vocabulary.read(folder))
    _warm_up(model)
    told = {"device": hardware.device, "dtype": str(hardware.dtype), "threads": torch.get_num_threads()}
    log("loaded", pipeline=pipeline_class, profile=profile.id, **told)
    return model


def _read_ahead(weights: list[Path]) -> None:
    """The kernel fetches the weights while Python imports; a hint, which macOS does not take."""
    for file in weights if hasattr(os, "posix_fadvise") else ():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _load_pipeline(folder: Path, pipeline_class: str, hardware: Hardware, weights: list[Path]) -> Any:
    diffusers = _import_diffusers()
    if not hasattr(diffusers, pipeline_class):
        refuse("config_error", None, f"diffusers {diffusers.__version__} has no {pipeline_class}", "Use a newer one.")
    loaded = getattr(diffusers, pipeline_class).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        variant=_variant(weights),
        **{_dtype_keyword(diffusers.__version__): hardware.dtype},
        **_load_encoders(folder, hardware.dtype),
    )
    pipeline = loaded.to(hardware.device)
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()  # a batch is decoded picture by picture: the decoder needs the most memory
    return pipeline


def _variant(weights: Iterable[Path]) -> str | None:
    return "fp16" if any(file.stem.endswith(".fp16") for file in weights) else None


def _load_encoders(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The parts of transformers, which fills what it does not find with noise and only logs it."""
    import transformers

    encoders = {}
    for part, named in json.loads((folder / "model_index.json").read_bytes()).items():
        weights = list((folder / part).glob("*.safetensors"))
        if isinstance(named, list) and named[0] == "transformers" and weights:
            encoders[part], told = getattr(transformers, named[1]).from_pretrained(
                folder / part,
                local_files_only=True,
                use_safetensors=True,
                variant=_variant(weights),
                dtype=dtype,
                output_loading_info=True,
            )
            _check_found(part, sorted(told["missing_keys"]), transformers.__version__)
    return encoders


def _check_found(part: str, missing: list[str], version: str) -> None:
    if missing:
        told = f"transformers {version} does not find {len(missing)} weights of {part}, such as {missing[0]}"
        hint = "Newer versions name them otherwise: save the part with this version or an older one."
        refuse("config_error", None, told, hint)


def _import_diffusers() -> Any:
    """Takes seconds, so only after the checks; offline, silent (its warnings quote prompts), no remote code."""
    os.environ.update(DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    return diffusers


def _dtype_keyword(version: str) -> str:
    """diffusers renamed it and warns about the old name."""
    return "dtype" if tuple(int(part) for part in version.split(".")[:2]) >= (0, 42) else "torch_dtype"


def _warm_up(model: Model) -> None:
    """One step of the smallest picture. That a single step may end in NaN or black says nothing about the model."""
    small = GenerationRequest(
        prompt=("warm-up",),
        width=SIDE.minimum,
        height=SIDE.minimum,
        num_inference_steps=1,
        guidance_scale=model.profile.guidance_scale,
        seed=0,
        scheduler=model.profile.scheduler,
    )
    try:
        draw(model, small, expires=None)
    except EaselError as error:
        log("warm_up", code=error.code)
