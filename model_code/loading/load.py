"""Loading of a model folder that the check accepts."""

import os
from pathlib import Path
from typing import Any

import torch

from container_log import log
from contract import IMAGES, SIDE, EaselError, GenerationRequest, refuse
from generation.generate import Model, generate
from generation.gpu_memory import GpuMemory
from generation.vocabulary import Vocabulary
from loading.hardware import Hardware, choose_hardware
from loading.profiles import model_profile
from model_folder import PIPELINES, ModelIndex, check_folder, loaded_variant, read_vocabulary


def load_model(folder: Path) -> Model:
    """Return a model that has generated once, so that its first request does not wait for one-time work.

    Raises ModelFolderError (the folder is refused), EaselError `config_error`, or what the libraries raise.
    """
    index = check_folder(folder)
    weights = list(folder.rglob("*.safetensors"))
    _prefetch(weights)
    family = PIPELINES[index.pipeline]
    hardware = choose_hardware(sum(file.stat().st_size for file in weights), family.dtypes)
    pipeline = _load_pipeline(folder, index, hardware, weights)
    model = Model(
        pipeline,
        model_profile(pipeline, folder),
        grid=family.grid,
        # Without CUDA, one by one is about as fast, and an image does not depend on the others of its batch.
        batch_size=IMAGES.maximum if hardware.device == "cuda" else 1,
        memory=GpuMemory(),
        vocabulary=Vocabulary(read_vocabulary(folder)),
    )
    _warm_up(model)
    log(
        "loaded",
        pipeline=index.pipeline,
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


def _load_pipeline(folder: Path, index: ModelIndex, hardware: Hardware, weights: list[Path]) -> Any:
    diffusers = _import_diffusers()
    if not hasattr(diffusers, index.pipeline):
        message = f"diffusers {diffusers.__version__} has no {index.pipeline}"
        refuse("config_error", None, message, "Install a newer diffusers.")
    loaded = getattr(diffusers, index.pipeline).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        variant=loaded_variant(file.name for file in weights),
        **{_dtype_keyword(diffusers.__version__): hardware.dtype},
        **_load_text_encoders(folder, index, hardware.dtype),
    )
    pipeline = loaded.to(hardware.device)
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()  # decode a batch image by image: the decoder needs the most memory
    return pipeline


def _load_text_encoders(folder: Path, index: ModelIndex, dtype: torch.dtype) -> dict[str, Any]:
    """Return the components of transformers. It fills missing weights with noise and only logs that, so check here."""
    import transformers

    encoders = {}
    for component in index.components:
        weights = list((folder / component.name).glob("*.safetensors"))
        if component.library != "transformers" or not weights:
            continue
        encoders[component.name], info = getattr(transformers, component.class_name).from_pretrained(
            folder / component.name,
            local_files_only=True,
            use_safetensors=True,
            variant=loaded_variant(file.name for file in weights),
            dtype=dtype,
            output_loading_info=True,
        )
        _check_no_missing_weights(component.name, sorted(info["missing_keys"]), transformers.__version__)
    return encoders


def _check_no_missing_weights(component: str, missing: list[str], version: str) -> None:
    if missing:
        message = f"transformers {version} finds no weights for {len(missing)} tensors of {component}: {missing[0]}, …"
        hint = "Newer versions use other names: save the component with this version or an older one."
        refuse("config_error", None, message, hint)


def _import_diffusers() -> Any:
    """Import takes seconds, so it follows the checks. Offline, silent (warnings quote prompts), no remote code."""
    os.environ.update(DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    return diffusers


def _dtype_keyword(version: str) -> str:
    """Return the name of the argument: diffusers 0.42 renamed it and warns about the old name."""
    return "dtype" if tuple(int(part) for part in version.split(".")[:2]) >= (0, 42) else "torch_dtype"


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
