"""Whether a LoRA file is safe to read, and fits the model."""

from __future__ import annotations

from ..errors import ModelFolderError
from ..extras import read_extra
from ..files import Files
from .base import BASES, lora_base
from .keys import LoraLayer, read_layers
from .modules import Modules, Target


def check_lora(files: Files, path: str, modules: Modules) -> list[tuple[LoraLayer, list[Target]]]:
    """Return each layer of a LoRA with the layers of the model that it changes.

    Only the header is read. Raises ModelFolderError: the file is missing, too large, damaged, no LoRA, or it is for
    another base, with the reason.
    """
    header = read_extra(files, path)
    layers = read_layers(path, header)
    found = [(layer, modules.find(layer.name)) for layer in layers]
    for layer, targets in found:
        if problem := _problem(layer, targets):
            base = BASES.get(lora_base(header), "another model")
            hint = f"It is a LoRA for {base}. Use one that was trained on this model or on its base."
            raise ModelFolderError(f"{path} does not fit this model: {problem}", hint)
    return found


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
