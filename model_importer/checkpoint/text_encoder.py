"""The text encoders of a checkpoint: OpenAI's CLIP, and OpenCLIP, whose attention has one matrix for three."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..model_folder import ModelFolderError, Tensor
from .layout import Base
from .pieces import Piece, renamed, rows, same, unknown

_MODEL = "text_model."
_UNUSED = ("logit_scale", "text_projection", "attn_mask", "embeddings.position_ids", "text_projection.weight")
_CLIP = re.compile(r"(embeddings|encoder|final_layer_norm)\..+")
_LAYER = re.compile(r"transformer\.resblocks\.(\d{1,2})\.(.+)")
_FIXED = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_MODULES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def is_open_clip(prefix: str) -> bool:
    return prefix.endswith(".model.")


def encoder_pieces(tensors: Mapping[str, Tensor], prefix: str, base: Base) -> Iterator[Piece]:
    """Yield the tensors of one encoder under the names of transformers. Raises ModelFolderError."""
    if not is_open_clip(prefix):
        return renamed(tensors, prefix, lambda name, tensor: _clip(prefix, name, tensor))
    layers = _used_layers(tensors, prefix, base)
    projects = base.id == "sdxl"
    return renamed(tensors, prefix, lambda name, tensor: _open_clip(prefix, name, tensor, layers, projects))


def _clip(prefix: str, name: str, tensor: Tensor) -> list[Piece]:
    """The oldest checkpoints lack `text_model.` in the names."""
    name = name.removeprefix(_MODEL)
    if name in _UNUSED:
        return []
    if not _CLIP.fullmatch(name):
        raise unknown(prefix + name)
    return same(_MODEL + name, tensor)


def _open_clip(prefix: str, name: str, tensor: Tensor, layers: int, projects: bool) -> list[Piece]:
    if projects and name == "text_projection" and len(tensor.shape) == 2:
        return [Piece("text_projection.weight", tensor, tensor.shape[::-1], transposed=True)]
    if name in _FIXED:
        return same(_MODEL + _FIXED[name], tensor)
    if found := _LAYER.fullmatch(name):
        number, rest = found.groups()
        return _layer(prefix + name, f"{_MODEL}encoder.layers.{number}", rest, tensor) if int(number) < layers else []
    if name in _UNUSED:
        return []
    raise unknown(prefix + name)


def _layer(name: str, start: str, rest: str, tensor: Tensor) -> list[Piece]:
    module, _, leaf = rest.rpartition(".")
    if module in _MODULES:
        return same(f"{start}.{_MODULES[module]}.{leaf}", tensor)
    if rest in ("attn.in_proj_weight", "attn.in_proj_bias") and tensor.shape and tensor.shape[0] % 3 == 0:
        leaf = rest.rpartition("_")[2]
        return [rows(f"{start}.self_attn.{part}_proj.{leaf}", tensor, i, 3) for i, part in enumerate("qkv")]
    raise unknown(name)


def _used_layers(tensors: Mapping[str, Tensor], prefix: str, base: Base) -> int:
    """Return the number of layers; Stable Diffusion 2 does not use the last layer."""
    start = f"{prefix}transformer.resblocks."
    count = len({name.removeprefix(start).partition(".")[0] for name in tensors if name.startswith(start)})
    return count - 1 if base.id == "sd-2" else count


def encoder_config(tensors: Mapping[str, Tensor], prefix: str, base: Base) -> dict[str, Any]:
    """Return config.json. Raises ModelFolderError if the encoder is not whole."""
    open_clip = is_open_clip(prefix)
    pieces = {piece.name: piece.shape for piece in encoder_pieces(tensors, prefix, base)}
    try:
        vocabulary, width = pieces[f"{_MODEL}embeddings.token_embedding.weight"]
        positions = pieces[f"{_MODEL}embeddings.position_embedding.weight"][0]
        inner = pieces[f"{_MODEL}encoder.layers.0.mlp.fc1.weight"][0]
    except (KeyError, ValueError, IndexError):
        raise ModelFolderError(f"the text encoder {prefix} is not whole", "Use a complete copy of the file.") from None
    start = f"{_MODEL}encoder.layers."
    layers = {name.removeprefix(start).partition(".")[0] for name in pieces if name.startswith(start)}
    projection = pieces.get("text_projection.weight", (width,))[0]
    return {
        "architectures": ["CLIPTextModelWithProjection" if "text_projection.weight" in pieces else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": max(width // 64, 1),
        "num_hidden_layers": len(layers),
        "max_position_embeddings": positions,
        "vocab_size": vocabulary,
        "projection_dim": projection,
        "hidden_act": "gelu" if open_clip else "quick_gelu",
        "layer_norm_eps": 1e-05,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
