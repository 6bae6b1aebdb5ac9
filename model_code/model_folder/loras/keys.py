"""The tensors of a LoRA file: a down and an up matrix for each layer that it changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelFolderError
from ..json_files import parse_json
from ..safetensors_header import Header

_KINDS = {"down": "down", "A": "down", "up": "up", "B": "up"}
_MATRIX = re.compile(
    r"(?P<layer>.+)\.(?:lora_(?P<a>down|up|A|B)(?:\.default)?|(?:lora|lora_linear_layer)\.(?P<b>down|up))\.weight"
)
_PROCESSOR = re.compile(r"(?P<layer>.+)\.processor\.(?P<name>to_q|to_k|to_v|to_out)_lora\.(?P<kind>down|up)\.weight")
"""As diffusers saved until 0.20."""
_OTHERS = {
    "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "hada_": "LoHa", "lokr_": "LoKr",
    "lora_mid": "CP-decomposed LoCon", ".diff": "full differences of weights", "oft_": "OFT",
    ".lora_B.bias": "LoRA with biases",
}  # fmt: skip
"""Part of a key to the kind of adapter that has it."""
_SHOWN = 3


@dataclass(frozen=True)
class LoraLayer:
    """A change of one layer: its output gets `up · down · input`, times `factor` (alpha / rank)."""

    name: str
    """As in the file, without the suffix of the tensor."""
    down: str
    up: str
    alpha: str
    """Names of the tensors; `alpha` is empty if the file has none, and the factor then `default_factor`."""
    default_factor: float
    down_shape: tuple[int, ...]
    up_shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return self.down_shape[0]


def read_layers(path: str, header: Header) -> list[LoraLayer]:
    """Return the layers of a file. Raises ModelFolderError, with the keys: it is no LoRA, or of another kind."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for key in header.shapes:
        layer, kind = _parse(key)
        if kind:
            found.setdefault(layer, {})[kind] = key
        else:
            unknown.append(key)
    if unknown:
        raise _unknown(path, unknown)
    return [_layer(path, name, keys, header) for name, keys in found.items()]


def _parse(key: str) -> tuple[str, str]:
    """Return layer and kind (down, up, alpha) of a tensor; the kind is empty for another tensor."""
    if match := _PROCESSOR.fullmatch(key):
        name = "to_out.0" if match["name"] == "to_out" else match["name"]
        return f"{match['layer']}.{name}", match["kind"]
    if match := _MATRIX.fullmatch(key):
        return match["layer"], _KINDS[match["a"] or match["b"]]
    return (key.removesuffix(".alpha"), "alpha") if key.endswith(".alpha") else (key, "")


def _unknown(path: str, keys: list[str]) -> ModelFolderError:
    kind = next((name for part, name in _OTHERS.items() for key in keys if part in key), "")
    shown = ", ".join(key[:80] for key in sorted(keys)[:_SHOWN])
    message = f"{path} has {len(keys)} tensors that are not of a LoRA: {shown}"
    hint = f"This is {kind}, which Easel does not use. " if kind else ""
    return ModelFolderError(message, f"{hint}Use a LoRA in kohya's layout or in that of diffusers.")


def _layer(path: str, name: str, keys: Mapping[str, str], header: Header) -> LoraLayer:
    if not {"down", "up"} <= keys.keys():
        missing = "down" if "up" in keys else "up"
        message = f"{path} has no {missing} matrix for {name[:120]}"
        raise ModelFolderError(message, "Use a complete copy of the LoRA.")
    down, up = header.shapes[keys["down"]], header.shapes[keys["up"]]
    alpha = header.shapes[keys["alpha"]] if "alpha" in keys else ()
    matrices = len(down) in (2, 4) and len(up) in (2, 4) and down[0] == up[1] and 0 not in (*down, *up)
    if not matrices or any(side != 1 for side in up[2:]) or alpha not in ((), (1,)):
        message = f"{path} has matrices of the shapes {[*down]} and {[*up]} for {name[:120]}"
        raise ModelFolderError(message, "The second side of up must be the first of down, the rank.")
    factor = _default_factor(path, name, header)
    return LoraLayer(name, keys["down"], keys["up"], keys.get("alpha", ""), factor, down, up)


def _default_factor(path: str, name: str, header: Header) -> float:
    """Return alpha / rank as diffusers writes it beside the tensors, or 1."""
    config = parse_json(str(header.metadata.get("lora_adapter_metadata", "{}")).encode())
    part = name.partition(".")[0]
    own = {key.removeprefix(f"{part}."): value for key, value in _items(config) if key.startswith(f"{part}.")}
    for key in ("alpha_pattern", "rank_pattern", "use_dora", "lora_bias"):
        if own.get(key):
            raise ModelFolderError(f"{path} was saved with {key}, which Easel does not use", "Save it without.")
    alpha, rank = own.get("lora_alpha"), own.get("r")
    if not isinstance(alpha, int | float) or not isinstance(rank, int) or rank < 1:
        return 1.0
    return alpha / rank**0.5 if own.get("use_rslora") else alpha / rank


def _items(config: Any) -> list[tuple[str, Any]]:
    return list(config.items()) if isinstance(config, dict) else []
