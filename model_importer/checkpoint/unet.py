"""The UNet of a checkpoint: names of its tensors, and its configuration, which their shapes say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..model_folder import ModelFolderError, Tensor
from .layout import UNET, Base
from .pieces import Piece, renamed, same, unknown

_FIXED = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "middle_block.1": "mid_block.attentions.0",
}
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = re.compile(r"norm|proj_in|proj_out|transformer_blocks\..+")
_BLOCK = re.compile(r"(input|output)_blocks\.(\d{1,2})\.(\d)\.(.+)")
_MIDDLE = re.compile(r"middle_block\.([012])\.(.+)")
_LAYERS = 3
"""Entries of a block in a checkpoint: two layers, and what changes the size."""


def unet_pieces(tensors: Mapping[str, Tensor]) -> Iterator[Piece]:
    """Yield the tensors of the UNet under diffusers' names. Raises ModelFolderError."""
    return renamed(tensors, UNET, lambda name, tensor: same(_name(name), tensor))


def _name(name: str) -> str:
    module, _, leaf = name.rpartition(".")
    if module in _FIXED:
        return f"{_FIXED[module]}.{leaf}"
    if found := _BLOCK.fullmatch(module):
        side, index, slot, rest = found.groups()
        if new := _in_block(side, int(index), slot, rest):
            return f"{new}.{leaf}"
    elif found := _MIDDLE.fullmatch(module):
        number, rest = found.groups()
        if number == "1" and _ATTENTION.fullmatch(rest):
            return f"mid_block.attentions.0.{rest}.{leaf}"
        if number != "1" and rest in _RESNET:
            return f"mid_block.resnets.{int(number) // 2}.{_RESNET[rest]}.{leaf}"
    raise unknown(UNET + name)


def _in_block(side: str, index: int, slot: str, rest: str) -> str:
    """Return the module's new name, or "" if there is none."""
    block, layer = divmod(index - 1 if side == "input" else index, _LAYERS)
    start = f"{'down' if side == 'input' else 'up'}_blocks.{block}"
    if slot == "0" and rest in _RESNET:
        return f"{start}.resnets.{layer}.{_RESNET[rest]}"
    if (side, slot, rest) == ("input", "0", "op"):
        return f"{start}.downsamplers.0.conv"
    if side == "output" and rest == "conv":
        return f"{start}.upsamplers.0.conv"
    return f"{start}.attentions.{layer}.{rest}" if slot == "1" and _ATTENTION.fullmatch(rest) else ""


def unet_config(tensors: Mapping[str, Tensor], base: Base, side: int) -> dict[str, Any]:
    """Return config.json. `side` is the native size in pixels. Raises ModelFolderError for an unusual architecture."""
    shapes = {name.removeprefix(UNET): tensor.shape for name, tensor in tensors.items() if name.startswith(UNET)}
    channels, depths = _blocks(shapes)
    attention = next((name for name in shapes if name.endswith("attn2.to_k.weight")), "")
    has_sizes = "label_emb.0.0.weight" in shapes
    if not attention or not any(depths) or has_sizes != (base.id == "sdxl"):
        raise _unusual()
    linear = len(shapes[attention.partition("transformer_blocks")[0] + "proj_in.weight"]) == 2
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": 4,
        "sample_size": side // 8,
        "block_out_channels": channels,
        "layers_per_block": 2,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": 1 if max(depths) == 1 else [max(depth, 1) for depth in depths],
        "cross_attention_dim": shapes[attention][1],
        "attention_head_dim": 8 if base.id == "sd-1" else [max(size // 64, 1) for size in channels],
        "use_linear_projection": linear,
        "norm_num_groups": 32,
    }
    if base.id == "sd-2":
        config["upcast_attention"] = True
    if has_sizes:
        width = shapes["label_emb.0.0.weight"][1]
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": width}  # fmt: skip
    return config


def _blocks(shapes: Mapping[str, tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Return channels and transformer layers of each block. Raises ModelFolderError unless its layers have as many."""
    count = 1 + max((int(found[2]) for name in shapes if (found := _BLOCK.match(name))), default=0)
    channels, depths = list[int](), list[int]()
    for block in range(count // _LAYERS):
        first = shapes.get(f"input_blocks.{_LAYERS * block + 1}.0.in_layers.2.weight", ())
        inputs = {_depth(shapes, f"input_blocks.{_LAYERS * block + layer}.1.") for layer in (1, 2)}
        outputs = {
            _depth(shapes, f"output_blocks.{count - 1 - _LAYERS * block - layer}.1.") for layer in range(_LAYERS)
        }
        if not first or count % _LAYERS or len(inputs | outputs) != 1:
            raise _unusual()
        channels.append(first[0])
        depths += inputs
    if _depth(shapes, "middle_block.1.") != max([1, *depths[-1:]]):
        raise _unusual()
    return channels, depths


def _depth(shapes: Mapping[str, tuple[int, ...]], start: str) -> int:
    start += "transformer_blocks."
    return len({name.removeprefix(start).partition(".")[0] for name in shapes if name.startswith(start)})


def _unusual() -> ModelFolderError:
    return ModelFolderError(
        "the checkpoint's UNet has an unusual architecture, as distilled ones such as SSD-1B have",
        "Use the model's diffusers repository.",
    )
