"""The VAE of a checkpoint: names of its tensors, and its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..model_folder import Tensor
from .layout import VAE, Base
from .pieces import Piece, renamed, same, unknown

_FIXED = {
    "encoder.norm_out": "encoder.conv_norm_out",
    "decoder.norm_out": "decoder.conv_norm_out",
    **{name: name for side in ("encoder", "decoder") for name in (f"{side}.conv_in", f"{side}.conv_out")},
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
}
_RESNET = {**{name: name for name in ("norm1", "conv1", "norm2", "conv2")}, "nin_shortcut": "conv_shortcut"}
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_LAYER = re.compile(r"(encoder|decoder)\.(down|up)\.(\d)\.block\.(\d)\.(\w+)")
_RESIZE = re.compile(r"(encoder|decoder)\.(down|up)\.(\d)\.(?:down|up)sample\.conv")
_MIDDLE = re.compile(r"(encoder|decoder)\.mid\.(block_1|block_2|attn_1)\.(\w+)")
_TRAINING = ("loss.", "model_ema.", "discriminator.")
"""Starts of what only the training used."""


def vae_pieces(tensors: Mapping[str, Tensor]) -> Iterator[Piece]:
    """Yield the tensors of the VAE under diffusers' names. Raises ModelFolderError."""
    blocks = len(_channels(tensors))
    return renamed(tensors, VAE, lambda name, tensor: _piece(name, tensor, blocks))


def _piece(name: str, tensor: Tensor, blocks: int) -> list[Piece]:
    if name.startswith(_TRAINING):
        return []
    module, _, leaf = name.rpartition(".")
    new = _name(module, blocks)
    if not new:
        raise unknown(VAE + name)
    if ".attentions." in new and tensor.shape[2:] in ((1, 1), (1,)):  # a convolution of one pixel is a linear layer
        return [Piece(f"{new}.{leaf}", tensor, tensor.shape[:2])]
    return same(f"{new}.{leaf}", tensor)


def _name(module: str, blocks: int) -> str:
    """Return the module's new name, or "" if there is none."""
    if module in _FIXED:
        return _FIXED[module]
    if found := _MIDDLE.fullmatch(module):
        side, block, rest = found.groups()
        if block == "attn_1":
            return f"{side}.mid_block.attentions.0.{_ATTENTION[rest]}" if rest in _ATTENTION else ""
        return f"{side}.mid_block.resnets.{int(block[-1]) - 1}.{_RESNET[rest]}" if rest in _RESNET else ""
    found = _LAYER.fullmatch(module) or _RESIZE.fullmatch(module)
    if not found:
        return ""
    side, way, number = found.group(1, 2, 3)
    block = int(number) if way == "down" else blocks - 1 - int(number)  # diffusers counts in the order of use
    start = f"{side}.{way}_blocks.{block}"
    if found.re is _RESIZE:
        return f"{start}.{way}samplers.0.conv"
    return f"{start}.resnets.{found[4]}.{_RESNET[found[5]]}" if found[5] in _RESNET else ""


def _channels(tensors: Mapping[str, Tensor]) -> list[int]:
    names = (f"{VAE}encoder.down.{block}.block.0.conv1.weight" for block in range(10))
    return [tensors[name].shape[0] for name in names if name in tensors and tensors[name].shape]


def vae_config(tensors: Mapping[str, Tensor], base: Base, side: int) -> dict[str, Any]:
    """Return config.json. `side` is the native size in pixels."""
    channels = _channels(tensors)
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "sample_size": side,
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "scaling_factor": 0.13025 if base.id == "sdxl" else 0.18215,
    }
