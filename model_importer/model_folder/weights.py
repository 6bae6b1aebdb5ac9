"""Weight files: `diffusion_pytorch_model.fp16.safetensors`, `model-00001-of-00002.safetensors`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .errors import ModelFolderError
from .index import Component

STEMS = {"diffusers": "diffusion_pytorch_model"}
"""Library to the first word of its weight files; else it is `model`."""
DEFAULT_VARIANT = "fp16"
"""The variant that is preferred in a folder, if no other is named."""
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
"""Formats that can run code when they are read."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_NO_VARIANT_WORDS = ("safetensors", "index", "json")

ReadJson = Callable[[str], dict[str, Any]]
"""Returns the object in a JSON file of the part."""


@dataclass(frozen=True)
class Weights:
    """The weights of one part, of one variant."""

    files: tuple[str, ...]
    """The safetensors by their names in the part's folder."""
    index: str = ""
    """The file that says which shard has which tensor; empty: there is one file."""
    shards: Mapping[str, str] | None = None
    """Tensor to file, if there is an index."""


def weights_stem(library: str) -> str:
    return STEMS.get(library, "model")


def is_weights(name: str, stem: str) -> bool:
    """Return whether a file is safetensors of a part, or the index of its shards."""
    first, *rest = _SHARD.sub("", name).split(".")
    return first == stem and "safetensors" in rest and rest[-1] in ("safetensors", "json")


def variant_of(name: str) -> str:
    """Return the variant of a weight file, or "".

    Both `model-00001-of-00002.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors` are fp16.
    """
    return ".".join(word for word in _SHARD.sub("", name).split(".")[1:] if word not in _NO_VARIANT_WORDS)


def variants_of(component: Component, names: Collection[str]) -> set[str]:
    """Return the variants that a folder has. A shard is of the variant of its index."""
    return {variant_of(name) for name in _heads(component, names)}


def _heads(component: Component, names: Collection[str]) -> list[str]:
    """Return the indexes and the files that are no shards, sorted."""
    found = sorted(name for name in names if is_weights(name, weights_stem(component.library)))
    return [name for name in found if name.endswith(".json") or not _SHARD.search(name)]


def select_weights(component: Component, names: Collection[str], variant: str | None, read: ReadJson) -> Weights:
    """Return the weights of a variant.

    A part without files of `variant` (None: fp16) has its plain files taken, as diffusers does, else those of its only
    variant. Raises ModelFolderError: there is none, or a file is missing.
    """
    available = variants_of(component, names)
    wanted = DEFAULT_VARIANT if variant is None else variant
    only = available if len(available) == 1 else set()
    chosen = next((name for name in (wanted, "", *only) if name in available), None)
    if chosen is None:
        raise _missing(component, names, wanted, available)
    found = [name for name in _heads(component, names) if variant_of(name) == chosen]
    # With both, diffusers takes the shards and transformers the single file.
    found.sort(key=lambda name: name.endswith(".json") is not (component.library == "diffusers"))
    return _sharded(component.name, names, found[0], read) if found[0].endswith(".json") else Weights((found[0],))


def _sharded(folder: str, names: Collection[str], index: str, read: ReadJson) -> Weights:
    shards = read(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(map(_is_shard_name, shards.values())):
        path = f"{folder}/{index}"
        raise ModelFolderError(f"{path} does not name its safetensors files", "Use a folder that diffusers saved.")
    files = sorted(set(shards.values()))
    if missing := [name for name in files if name not in names]:
        raise ModelFolderError(f"{folder} lacks {', '.join(missing)[:300]}", "Use a complete copy of the model.")
    return Weights(tuple(files), index, shards)


def _is_shard_name(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w.-]+\.safetensors", name, re.ASCII) is not None


def _missing(component: Component, names: Collection[str], variant: str, available: set[str]) -> ModelFolderError:
    of_variant = f" of the variant {variant!r}, nor plain weights" if variant else ""
    stem = weights_stem(component.library)
    message = f"{component.name} has no {stem}.safetensors" + of_variant
    pickled = sorted(name for name in names if PurePosixPath(name).suffix in PICKLE_SUFFIXES)
    others = sorted(name for name in names if PurePosixPath(name).suffix in (".safetensors", ".gguf"))
    if available:
        hint = f"Set `variant` of the entry's source to one of: {', '.join(sorted(available))}."
        return ModelFolderError(message, hint)
    if shards := sorted(name for name in names if is_weights(name, stem)):
        message = f"{component.name} lacks the index ({stem}.safetensors.index.json) of {', '.join(shards)[:200]}"
        return ModelFolderError(message, "Use a complete copy of the model.")
    if pickled:
        message += f", only {', '.join(pickled)[:200]}"
        return ModelFolderError(message, "Pickled weights can run code: save the model as safetensors.")
    if others:
        message += f", only {', '.join(others)[:200]}"
        return ModelFolderError(message, "Save the model with save_pretrained of diffusers.")
    return ModelFolderError(message, "Use a complete copy of the model.")
