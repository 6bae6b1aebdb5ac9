"""Whether a LoRA file is safe to read, and fits the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import ModelFolderError
from ..files import Files
from ..safetensors_header import read_header
from .base import BASES, lora_base
from .keys import LoraLayer, read_layers
from .modules import Modules, Target

LORAS_FOLDER = "loras"
LORA_BYTES = 2 * 2**30
"""The largest file. Those of rank 128 for FLUX have 1.3 GB."""
_PIECE = 2**20


def lora_path(id: str) -> str:
    """Return the path of a LoRA in a model folder."""
    return f"{LORAS_FOLDER}/{id}.safetensors"


def check_lora(files: Files, path: str, modules: Modules) -> list[tuple[LoraLayer, list[Target]]]:
    """Return each layer of a LoRA with the layers of the model that it changes.

    Only the header is read. Raises ModelFolderError: the file is missing, too large, damaged, no LoRA, or it is for
    another base, with the reason.
    """
    if path not in files.sizes:
        raise ModelFolderError(f"{path} is missing", "Put the file there, or remove it from `loras` of the entry.")
    if files.sizes[path] > LORA_BYTES:
        message = f"{path} is too large: {files.sizes[path]} bytes"
        raise ModelFolderError(message, f"It may have {LORA_BYTES} bytes. Use one of a smaller rank.")
    header = read_header(files, path)
    layers = read_layers(path, header)
    found = [(layer, modules.find(layer.name)) for layer in layers]
    for layer, targets in found:
        if problem := _problem(layer, targets):
            base = BASES.get(lora_base(header), "another model")
            hint = f"It is a LoRA for {base}. Use one that was trained on this model or on its base."
            raise ModelFolderError(f"{path} does not fit this model: {problem}", hint)
    return found


def check_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Compare the LoRAs of a folder with their entries. `digests`: id to sha256. Raises ModelFolderError."""
    for id, expected in digests.items():
        digest = hashlib.sha256()
        try:
            with (folder / lora_path(id)).open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise ModelFolderError(f"{lora_path(id)} cannot be read ({error.strerror})", "Check the file.") from None
        if digest.hexdigest() != expected:
            message = f"{lora_path(id)} has the sha256 {digest.hexdigest()}, but its entry has {expected}"
            raise ModelFolderError(message, "Get the file of the entry again, or correct `sha256`.")


def _problem(layer: LoraLayer, targets: list[Target]) -> str:
    """Return why a layer of a LoRA does not fit; empty if it does."""
    if not targets:
        return f"there is no layer {layer.name[:120]}"
    rows, shape = sum(target.end - target.first for target in targets), targets[0].shape
    inputs, kernel = layer.down_shape[1], [*layer.down_shape[2:]] or [1, 1]
    if layer.up_shape[0] == rows and inputs == shape[1] and kernel == ([*shape[2:]] or [1, 1]):
        return ""
    its = f"{layer.up_shape[0]}x{inputs}"
    return f"{layer.name[:120]} changes a layer of {its}, which here has {rows}x{shape[1]}"
