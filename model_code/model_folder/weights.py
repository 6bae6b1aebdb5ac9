"""Names of weight files: `diffusion_pytorch_model.fp16.safetensors`, `model-00001-of-00002.safetensors`."""

from __future__ import annotations

import re
from collections.abc import Iterable

STEMS = ("diffusion_pytorch_model", "model")
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
"""Formats that can run code when they are read."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


def is_weights(name: str) -> bool:
    """Return whether a file is safetensors of a component, or the index of its shards."""
    stem, *rest = _SHARD.sub("", name).split(".")
    return stem in STEMS and "safetensors" in rest and rest[-1] in ("safetensors", "json")


def is_shard_index(name: str) -> bool:
    return is_weights(name) and name.endswith(".json")


def variant_of(name: str) -> str:
    """Return the variant of a weight file, or "".

    Both `model-00001-of-00002.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors` are fp16.
    """
    words = _SHARD.sub("", name).split(".")[1:]
    return ".".join(word for word in words if word not in ("safetensors", "index", "json"))


def loaded_variant(names: Iterable[str]) -> str | None:
    """Return the argument `variant` of `from_pretrained` for a folder with these weight files."""
    return "fp16" if any(variant_of(name).split(".")[-1] == "fp16" for name in names) else None
