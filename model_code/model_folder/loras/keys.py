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
_MOST = 2**20
"""Largest alpha and rank in the metadata."""
_DTYPES = ("BF16", "F16", "F32", "F64")
_UNUSED = ("alpha_pattern", "rank_pattern", "use_dora", "lora_bias")
"""Options of peft that change what a file means."""


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
    config = parse_json(str(header.metadata.get("lora_adapter_metadata")).encode(errors="surrogatepass"))
    factors = _Factors(path, config if isinstance(config, dict) else {})
    return [_layer(path, name, keys, header, factors) for name, keys in found.items()]


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


def _layer(path: str, name: str, keys: Mapping[str, str], header: Header, factors: _Factors) -> LoraLayer:
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
    for kind in ("down", "up"):
        if (dtype := header.tensors[keys[kind]].dtype) not in _DTYPES:
            message = f"{path} has a matrix of the dtype {dtype} for {name[:120]}"
            raise ModelFolderError(message, f"It may have {', '.join(_DTYPES)}.")
    factor = factors[name.partition(".")[0]]
    return LoraLayer(name, keys["down"], keys["up"], keys.get("alpha", ""), factor, down, up)


class _Factors(dict[str, float]):
    """Part of the pipeline to alpha / rank, as diffusers writes it beside the tensors, or 1."""

    def __init__(self, path: str, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._path, self._config = path, config

    def __missing__(self, part: str) -> float:
        for key in _UNUSED:
            if self._config.get(f"{part}.{key}"):
                message = f"{self._path} was saved with {key}, which Easel does not use"
                raise ModelFolderError(message, "Save it without.")
        self[part] = self._factor(part)
        return self[part]

    def _factor(self, part: str) -> float:
        alpha, rank = self._config.get(f"{part}.lora_alpha"), self._config.get(f"{part}.r")
        if not isinstance(alpha, int | float) or not isinstance(rank, int) or rank < 1:
            return 1.0
        if not -_MOST <= alpha <= _MOST or rank > _MOST:  # NaN, too
            message = f"{self._path} has an alpha or a rank for {part[:120]} that no LoRA has"
            raise ModelFolderError(message, f"They may be up to {_MOST}.")
        return alpha / rank**0.5 if self._config.get(f"{part}.use_rslora") else alpha / rank
