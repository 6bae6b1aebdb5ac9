"""Which base a LoRA is for, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..safetensors_header import Header
from .keys import read_layers
from .modules import split_name

BASES = {
    "sd-1": "Stable Diffusion 1.x", "sd-2": "Stable Diffusion 2.x", "sdxl": "Stable Diffusion XL",
    "sd-3": "Stable Diffusion 3", "flux": "FLUX.1", "flux-2": "FLUX.2",
    "qwen-image": "Qwen-Image", "sana": "Sana", "z-image": "Z-Image",
}  # fmt: skip
"""Base to the name that people read."""
CROSS_ATTENTION = {768: "sd-1", 1024: "sd-2", 2048: "sdxl"}
"""Width of the text encoders' states, which `attn2.to_k` of a UNet reads."""
_NAMES = {
    r"(noise_refiner|context_refiner|layers)_\d+_(attention|feed_forward|adaLN)": "z-image",
    r"transformer_blocks_\d+_(img|txt)_(mlp|mod)": "qwen-image",
    r"joint_blocks_": "sd-3",
    r".*single_transformer_blocks_\d+_attn_to_qkv_mlp_proj|double_stream_modulation": "flux-2",
    r"(double|single)_blocks_|single_transformer_blocks_": "flux",
}
_QWEN_BLOCKS = 60
_FLUX_BLOCKS = 19


def lora_base(header: Header, path: str = "the file") -> str:
    """Return the base of a LoRA: a key of BASES, `unet-<width>` for another UNet, or `unknown`.

    Nothing but the header of the file is needed. Raises ModelFolderError: it is no LoRA.
    """
    layers = read_layers(path, header)
    names = [(*split_name(layer.name), layer) for layer in layers]
    backbone = {flat: layer.down_shape[1] for part, flat, layer in names if part == "backbone"}
    if re.search("(down|input|output|up)_blocks_|mid(dle)?_block_", " ".join(backbone)):
        return _unet(backbone)
    for pattern, base in _NAMES.items():
        if any(re.match(pattern, flat) for flat in backbone):
            return base
    blocks = [int(found[1]) for flat in backbone if (found := re.match(r"transformer_blocks_(\d{1,4})_attn_", flat))]
    return "qwen-image" if blocks and max(blocks) >= _FLUX_BLOCKS else "unknown"


def _unet(backbone: Mapping[str, int]) -> str:
    width = next((width for flat, width in backbone.items() if flat.endswith(("attn2_to_k", "attn2_to_v"))), None)
    if width is not None:
        return CROSS_ATTENTION.get(width, f"unet-{width}")
    return "unknown"
