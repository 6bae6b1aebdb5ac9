"""Loading of a model folder that the check accepts."""

import functools
import gc
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from container_log import log
from contract import IMAGES, SIDE, EaselError, GenerationRequest, refuse
from generation.extras.control import Controls
from generation.extras.embeddings import load_embeddings
from generation.extras.lora import Loras
from generation.generate import Model, generate
from generation.gpu_memory import GpuMemory
from generation.vocabulary import Vocabulary
from loading.hardware import Hardware, choose_hardware, limit_threads
from loading.image_prompts import ImagePromptProcessor, place_images
from loading.layout import prepare_layout
from loading.parts import load_parts
from loading.plain_folder import plain_folder
from loading.profiles import loading_options, model_profile
from loading.revision import read_revision
from model_folder import PIPELINES, CheckedModel, check_folder, read_vocabulary


def load_model(folder: Path) -> Model:
    """Return a model that has generated once, so that its first request does not wait for one-time work.

    Raises ModelFolderError (the folder is refused), EaselError `config_error`, or what the libraries raise.
    """
    options = loading_options()
    checked = check_folder(folder, variant=options.variant, extras=options.extras)
    weights = [folder / part / name for part, found in checked.weights.items() for name in found.files]
    _prefetch(weights)
    family = PIPELINES[checked.index.pipeline]
    weight_bytes = sum(file.stat().st_size for file in weights)
    hardware = choose_hardware(weight_bytes, family.dtypes, options.dtype)
    one_thread = limit_threads(hardware, weight_bytes)
    pipeline = _load_pipeline(folder, checked, hardware)
    profile, memory = model_profile(pipeline, folder, checked), GpuMemory()
    model = Model(
        pipeline,
        profile,
        grid=family.grid,
        # Without CUDA, one by one is about as fast, and an image does not depend on the others of its batch.
        batch_size=IMAGES.maximum if hardware.device == "cuda" else 1,
        memory=memory,
        vocabulary=Vocabulary(read_vocabulary(folder)),
        loras=Loras(folder, pipeline, memory),
        revision=read_revision(folder, checked),
        controls=Controls(folder, pipeline, memory),
        embeddings=load_embeddings(folder, pipeline, profile.embeddings),
        one_thread=one_thread,
    )
    _warm_up(model)
    log(
        "loaded",
        pipeline=checked.index.pipeline,
        profile=model.profile.id,
        device=hardware.device,
        dtype=str(hardware.dtype),
        threads=torch.get_num_threads(),
    )
    return model


def _prefetch(weights: list[Path]) -> None:
    """Let the kernel read the weights while Python imports. macOS has no such call."""
    for file in weights if hasattr(os, "posix_fadvise") else ():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _load_pipeline(folder: Path, checked: CheckedModel, hardware: Hardware) -> Any:
    index = checked.index
    with _without_collector():
        diffusers = _import_diffusers()
        known = hasattr(diffusers, index.pipeline)  # imports the pipeline's modules
    if not known:
        message = f"diffusers {diffusers.__version__} has no {index.pipeline}"
        refuse("config_error", None, message, "Install a newer diffusers, or use a model of docs/reference/models.md.")
    with plain_folder(folder, checked) as plain:
        parts = load_parts(plain, checked, hardware.dtype)
    if "processor" in parts:
        parts["processor"] = ImagePromptProcessor(parts["processor"], parts["tokenizer"])
        place_images(parts["text_encoder"])
    pipeline_class = getattr(diffusers, index.pipeline)
    accepted = inspect.signature(pipeline_class.__init__).parameters
    settings = {name: value for name, value in index.settings.items() if name in accepted}
    pipeline = pipeline_class(**dict.fromkeys(index.unused), **parts, **settings).to(hardware.device)
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()  # decode a batch image by image: the decoder needs the most memory
    if hardware.device == "cpu":
        prepare_layout(pipeline)
    return pipeline


def _import_diffusers() -> Any:
    """Import takes seconds, so it follows the checks. Offline, silent (warnings quote prompts), no remote code."""
    os.environ.update(DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    return diffusers


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python's garbage collector off, and what exists at the end, the first time, out of later collections.

    Imports leave a million objects that stay; going through them again and again takes a quarter of the time to load.
    """
    gc.disable()
    try:
        yield
    finally:
        _freeze_once()
        gc.enable()


@functools.cache
def _freeze_once() -> None:
    """Later there may be the remains of a model that did not load."""
    gc.freeze()


def _warm_up(model: Model) -> None:
    """Run one step of the smallest image. NaN or black after a single step is not an error of the model."""
    request = GenerationRequest(
        prompt=("warm-up",),
        width=SIDE.minimum,
        height=SIDE.minimum,
        num_inference_steps=1,
        guidance_scale=model.profile.guidance_scale,
        seed=0,
        scheduler=model.profile.scheduler,
    )
    try:
        generate(model, request, expires_at=None)
    except EaselError as error:
        log("warm_up", code=error.code)
