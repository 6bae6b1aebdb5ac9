"""Loading of the parts of a pipeline, one by one, so that an error names its part."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from contract import refuse
from model_folder import CheckedModel, Component

_MODULES = {"stable_diffusion": "diffusers.pipelines.stable_diffusion"}
"""Library of an index to the module that has its classes, if the names differ."""
_OLD_NAMES = {
    "CLIPTextModel": {r"^(embeddings|encoder|final_layer_norm)\.": r"text_model.\1."},
    "StableDiffusionSafetyChecker": {
        r"^vision_model\.(embeddings|encoder|pre_layrnorm|post_layernorm)\.": r"vision_model.vision_model.\1."
    },
}
"""transformers 5.23 saves these classes without a prefix. Versions that do not know that get it back."""

_IMAGE_PROCESSORS = {"CLIPFeatureExtractor": "CLIPImageProcessor", "Qwen2VLProcessor": "Qwen2VLImageProcessor"}
"""Class names in an index to those that are loaded: a new name, and of a processor the part without torchvision."""


class PartError(Exception):
    """A part that did not load. `__cause__` is the error of the library."""

    def __init__(self, component: Component, file: str) -> None:
        super().__init__(component.name)
        self.component, self.file = component, file


def load_parts(folder: Path, checked: CheckedModel, dtype: torch.dtype) -> dict[str, Any]:
    """Return the parts of the pipeline. Raises PartError, or EaselError `config_error` for incomplete weights."""
    return {part.name: _load(folder, part, checked, dtype) for part in checked.index.components}


def _load(folder: Path, part: Component, checked: CheckedModel, dtype: torch.dtype) -> Any:
    weights = checked.weights.get(part.name)
    try:
        part_class = find_class(part)
        if weights is None:
            return _load_settings(part_class, folder / part.name)
        loaded, info = part_class.from_pretrained(
            folder / part.name,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **_keywords(part, dtype),
        )
    except Exception as error:
        raise PartError(part, _main_file(part, checked)) from error
    _check_complete(part, _main_file(part, checked), sorted(info["missing_keys"]))
    return loaded


def _load_settings(part_class: Any, folder: Path) -> Any:
    """Return a part without weights. Of a processor without torchvision, its tokenizer: prompts have no images."""
    try:
        return part_class.from_pretrained(folder, local_files_only=True)
    except ImportError:
        if part_class.__name__ not in ("AutoProcessor", "PixtralProcessor"):
            raise
        tokenizer_class = importlib.import_module("transformers").AutoTokenizer
        return tokenizer_class.from_pretrained(folder, local_files_only=True)


def find_class(part: Component) -> Any:
    """Return the class. Versions differ in the names of image processors. Raises ImportError.

    Without scipy, which the serving image has, the settings of an LMS scheduler make an Euler scheduler: its fields are
    the same. A request for `lms` is refused then.
    """
    module = importlib.import_module(_MODULES.get(part.library, part.library))
    name = _IMAGE_PROCESSORS.get(part.class_name, part.class_name)
    if name == "LMSDiscreteScheduler" and importlib.util.find_spec("scipy") is None:
        name = "EulerDiscreteScheduler"
    if "ImageProcessor" in name:
        name = name.removesuffix("Fast")
    for candidate in (name, name.removesuffix("Pil")):
        if hasattr(module, candidate):
            return getattr(module, candidate)
    raise ImportError(f"{part.library} {module.__version__} has no {name}")


def _keywords(part: Component, dtype: torch.dtype) -> Mapping[str, Any]:
    if part.library != "diffusers":
        names = _OLD_NAMES.get(part.class_name)
        return {"dtype": dtype, "key_mapping": names} if names else {"dtype": dtype}
    return {dtype_keyword(importlib.import_module("diffusers").__version__): dtype}


def dtype_keyword(version: str) -> str:
    """Return the name of the argument: diffusers 0.42 renamed it and warns about the old name."""
    return "dtype" if tuple(int(part) for part in version.split(".")[:2]) >= (0, 42) else "torch_dtype"


def _main_file(part: Component, checked: CheckedModel) -> str:
    """Return the path of the part's weights, or of its first settings."""
    if weights := checked.weights.get(part.name):
        return f"{part.name}/{weights.index or weights.files[0]}"
    return next(path for path in checked.files if path.startswith(f"{part.name}/"))


def _check_complete(part: Component, file: str, missing: list[str]) -> None:
    """Both libraries fill missing weights with noise and only log that."""
    if missing:
        version = importlib.import_module(part.library.replace("stable_diffusion", "transformers")).__version__
        message = f"{file} lacks {len(missing)} tensors of {part.name} ({part.class_name}): {missing[0]}, …"
        hint = f"Newer versions use other names: save the part with {part.library} {version} or an older one."
        refuse("config_error", None, message, hint)
