"""Selection of the files of one variant of a diffusers pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from .classes import has_weights
from .errors import ModelFolderError
from .index import INDEX_FILE, Component, ModelIndex
from .json_files import parse_settings
from .weights import PICKLE_SUFFIXES, is_shard_index, is_weights, variant_of

DEFAULT_VARIANT = "fp16"
"""The variant of a local folder and of one in S3, if no other is set."""
NAME_BYTES = 255
"""The longest file name in SageMaker's uncompressed model data."""
_SETTINGS = re.compile(r"(?!model_index).*\.(json|jinja|model)|merges\.txt|vocab\.txt")
"""Settings and tokenizers."""

Read = Callable[[str], bytes]
"""Returns the content of a small file."""


def select_files(names: Iterable[str], index: ModelIndex, variants: Mapping[str, str], read: Read) -> list[str]:
    """Return the paths of a release, sorted: the index, and the settings and weights of each component.

    `variants` maps components to variants. A component without files of its variant gives its plain weights, as in
    diffusers. Raises ModelFolderError: weights are missing, or a path is not allowed.
    """
    paths = [_checked_path(name) for name in names]
    selected = {INDEX_FILE}
    for component in index.components:
        folder = component.name
        files = {path.removeprefix(f"{folder}/") for path in paths if path.rpartition("/")[0] == folder}
        selected |= {f"{folder}/{name}" for name in _component_files(component, files, variants.get(folder, ""), read)}
    return sorted(selected)


def _component_files(component: Component, files: set[str], variant: str, read: Read) -> set[str]:
    settings = {name for name in files if _SETTINGS.fullmatch(name) and not is_weights(name)}
    weights = _weights(component.name, files, variant, read)
    if not weights and has_weights(component.class_name):
        raise _missing_weights(component.name, files, variant)
    if not settings | weights:
        hint = "Use a complete copy of the model."
        raise ModelFolderError(f"{INDEX_FILE} names {component.name}, which has no such folder", hint)
    return settings | weights


def _weights(folder: str, files: set[str], variant: str, read: Read) -> set[str]:
    for wanted in dict.fromkeys((variant, "")):
        found = {name for name in files if is_weights(name) and variant_of(name) == wanted}
        indexes = {name for name in found if is_shard_index(name)}
        if indexes:
            shards = {shard for name in indexes for shard in _shards(f"{folder}/{name}", read)}
            if missing := shards - files:
                names = ", ".join(sorted(missing))[:300]
                raise ModelFolderError(f"{folder} lacks {names}", "Use a complete copy of the model.")
            return indexes | shards
        if found:
            return found
    return set()


def _shards(path: str, read: Read) -> set[str]:
    weight_map = parse_settings(path, read(path)).get("weight_map")
    shards = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not shards or not all(isinstance(shard, str) and is_weights(shard) for shard in shards):
        raise ModelFolderError(f"{path} does not name its safetensors files", "Use a folder that diffusers saved.")
    return shards


def _missing_weights(folder: str, files: set[str], variant: str) -> ModelFolderError:
    message = f"{folder} has no safetensors" + (f" of the variant {variant!r}, nor plain weights" if variant else "")
    others = sorted({variant_of(name) for name in files if is_weights(name)} - {""})
    pickled = sorted(name for name in files if PurePosixPath(name).suffix in PICKLE_SUFFIXES)
    if others:
        return ModelFolderError(message, f"Set one of its variants: {', '.join(others)}.")
    if pickled:
        message += f", only {', '.join(pickled)[:200]}"
        return ModelFolderError(message, "Pickled weights can run code: save the model as safetensors.")
    return ModelFolderError(message, "Use a complete copy of the model.")


def _checked_path(path: str) -> str:
    """Return `path`. Raises ModelFolderError: it could leave its folder, or SageMaker cannot write it."""
    parts = path.split("/")
    if "\\" in path or any(part in ("", ".", "..") or len(part.encode()) > NAME_BYTES for part in parts):
        hint = f"Each part of a path has 1 to {NAME_BYTES} bytes, no backslash, and is neither '.' nor '..'."
        raise ModelFolderError(f"{path[:120]!r} is not a valid path of a release", hint)
    return path
