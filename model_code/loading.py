"""A model folder, checked before anything in it is believed, then loaded.

What the checks are against: a `model_index.json` that names a library or class of the author's choosing
(GHSA-4prv-5hj7-c2xr), pickled weights (CVE-2025-32434) and code beside the weights (CVE-2026-44513).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vocabulary
from classes import COMPONENTS, PIPELINES
from contract import IMAGES, SIDE, EaselError, GenerationRequest, refuse
from drawing import Model, draw
from hardware import Hardware, choose
from journal import log
from memory import Memory
from profiles import of as profile_of

_CODE = "code"
"""The only place for programs in a release."""
_UNSAFE = {
    ".bin",
    ".ckpt",
    ".h5",
    ".joblib",
    ".msgpack",
    ".npy",
    ".npz",
    ".pickle",
    ".pkl",
    ".pt",
    ".pth",
    ".py",
    ".so",
}
_INDEX_BYTES = 100_000


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
    model = Model(pipeline, profile, family.grid, at_once, Memory(), vocabulary=_vocabulary(folder))
    _warm_up(model)
    log("loaded", pipeline=pipeline_class, device=hardware.device, dtype=str(hardware.dtype), profile=profile.id)
    return model


# --- checks --------------------------------------------------------------------------------------


def check(folder: Path) -> str:
    """The class of the pipeline in a folder that may be loaded. Imports nothing. Raises EaselError `config_error`."""
    index = _json(folder / "model_index.json")
    name = index.get("_class_name")
    if str(name) not in PIPELINES:
        _refuse(f"model_index.json asks for the pipeline {str(name)[:80]!r}", f"Use one of: {', '.join(PIPELINES)}.")
    for part, named in index.items():
        if not part.startswith("_") and isinstance(named, list):
            _check_component(part, named)
    for file in _files(folder):
        _check_file(folder, file)
    return str(name)


def _check_component(part: str, named: list[Any]) -> None:
    library, class_name = named if len(named) == 2 else ("", "")
    if library is class_name is None:
        return
    if str(class_name) not in COMPONENTS.get(str(library), ()):
        told = f"{str(library)[:80]}.{str(class_name)[:80]}"
        _refuse(f"model_index.json asks for {told} as {part[:80]}", "Only known classes of diffusers and transformers.")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.relative_to(folder).parts[0] != _CODE)


def _check_file(folder: Path, file: Path) -> None:
    name = file.relative_to(folder)
    if not file.resolve().is_relative_to(folder.resolve()):
        _refuse(f"{name} leads out of the folder", "Put the file itself there.")
    if file.suffix.lower() in _UNSAFE:
        _refuse(f"{name} is not safe to read", "Keep weights as .safetensors and no code beside them.")
    if file.name in ("config.json", "tokenizer_config.json") and "auto_map" in _json(file):
        _refuse(f"{name} asks for code of its own (auto_map)", "Use a model that needs none.")


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.name == "model_index.json" and file.stat().st_size > _INDEX_BYTES:
            _refuse(f"{file.name} is too large", f"At most {_INDEX_BYTES} bytes.")
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(f"{file.name} is missing or no JSON object", "Point at a folder that diffusers saved.")
    return dict(value)


def _refuse(message: str, hint: str) -> None:
    refuse("config_error", None, message, hint)


# --- loading -------------------------------------------------------------------------------------


def _read_ahead(weights: list[Path]) -> None:
    """The kernel fetches the weights while Python imports; a hint, which macOS does not take."""
    for file in weights if hasattr(os, "posix_fadvise") else ():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _load_pipeline(folder: Path, pipeline_class: str, hardware: Hardware, weights: list[Path]) -> Any:
    diffusers = _import_diffusers()
    if not hasattr(diffusers, pipeline_class):
        _refuse(f"diffusers {diffusers.__version__} has no {pipeline_class}", "Use a newer one.")
    loaded = getattr(diffusers, pipeline_class).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        variant="fp16" if any(file.stem.endswith(".fp16") for file in weights) else None,
        **{_dtype_keyword(diffusers.__version__): hardware.dtype},
    )
    pipeline = loaded.to(hardware.device)
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()  # a batch is decoded picture by picture: the decoder needs the most memory
    return pipeline


def _vocabulary(folder: Path) -> vocabulary.Vocabulary:
    try:
        return vocabulary.read(folder)
    except (OSError, ValueError, TypeError):
        raise EaselError(
            "config_error", f"{vocabulary.FILE} cannot be read", hint="Write a list of lists of names, or none."
        ) from None


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
