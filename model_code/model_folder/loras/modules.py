"""The layers of a model by the names that LoRA files use for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Tensors = Mapping[str, tuple[int, ...]]
"""Name to shape."""

_PARTS = {
    "lora_unet_": "backbone", "lora_transformer_": "backbone", "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2", "lora_te3_": "t5", "lora_te_": "text_encoder", "unet.": "backbone",
    "transformer.": "backbone", "diffusion_model.": "backbone", "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
}  # fmt: skip
"""Beginning of a name to the part of the pipeline; any other name is of the backbone."""

_BFL = {
    "img_attn_proj": "attn_to_out_0", "txt_attn_proj": "attn_to_add_out", "img_mlp_0": "ff_net_0_proj",
    "img_mlp_2": "ff_net_2", "txt_mlp_0": "ff_context_net_0_proj", "txt_mlp_2": "ff_context_net_2",
    "img_mod_lin": "norm1_linear", "txt_mod_lin": "norm1_context_linear",
}  # fmt: skip
_BFL_SINGLE = {"linear2": "proj_out", "modulation_lin": "norm_linear"}
_BFL_TOP = {"img_in": "x_embedder", "txt_in": "context_embedder"}
"""Names in FLUX as Black Forest Labs wrote it, which kohya uses."""
_SGM = {
    "in_layers_2": "conv1", "out_layers_3": "conv2", "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}  # fmt: skip
_SGM_TOP = {
    "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2",
    "input_blocks_0_0": "conv_in", "out_2": "conv_out",
}  # fmt: skip
"""Names in Stable Diffusion as Stability AI wrote it, which kohya uses for SDXL."""


@dataclass(frozen=True)
class Target:
    """A layer that a LoRA changes. The LoRA may join several layers: then each takes some rows of its up matrix."""

    part: str
    module: str
    shape: tuple[int, ...]
    first: int
    end: int


class Modules:
    """The layers with a weight matrix of each part: `part` to tensors of its file, or of the loaded model."""

    def __init__(self, parts: Mapping[str, Tensors]) -> None:
        self._names = {part: dict(_flat_names(tensors)) for part, tensors in parts.items()}
        self.backbone = "unet" if "unet" in parts else "transformer"
        lengths = [
            int(found[1])
            for name in self._names.get("unet", ())
            if (found := re.match(r"down_blocks_0_resnets_(\d{1,4})", name))
        ]
        self._layers_per_block = max(lengths, default=0) + 1

    def find(self, name: str) -> list[Target]:
        """Return the layers that a layer of a LoRA changes; empty if the model has no such layer."""
        part, flat = split_name(name)
        if part == "t5":
            part = "text_encoder_3" if "text_encoder_3" in self._names else "text_encoder_2"
        part = self.backbone if part == "backbone" else part
        known = self._names.get(part, {})
        for names in ((flat,), _joined(flat), (_in_diffusers(flat, self._layers_per_block),)):
            if names and all(item in known for item in names):
                return list(self._targets(part, names))
        return []

    def _targets(self, part: str, names: tuple[str, ...]) -> Iterator[Target]:
        first = 0
        for name in names:
            module, shape = self._names[part][name]
            yield Target(part, module, shape, first, first + shape[0])
            first += shape[0]


def split_name(name: str) -> tuple[str, str]:
    """Return the part, `backbone` for UNet or transformer, and the name in it with `_` for every dot."""
    name = name.removeprefix("base_model.model.")
    prefix = next((prefix for prefix in _PARTS if name.startswith(prefix)), "")
    flat = name.removeprefix(prefix).replace(".", "_").removeprefix("text_model_")
    return _PARTS.get(prefix, "backbone"), flat


def _flat_names(tensors: Tensors) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    for name, shape in tensors.items():
        if name.endswith(".weight") and len(shape) in (2, 4):
            module = name.removesuffix(".weight")
            yield module.removeprefix("text_model.").replace(".", "_"), (module, shape)


def _joined(flat: str) -> tuple[str, ...]:
    """Return the layers of the model that other code has as one, in the order of their rows."""
    if found := re.fullmatch(r"single_blocks_(\d+)_linear1", flat):
        block = f"single_transformer_blocks_{found[1]}"
        return (*_qkv(f"{block}_attn"), f"{block}_proj_mlp")
    if found := re.fullmatch(r"double_blocks_(\d+)_(img|txt)_attn_qkv", flat):
        block = f"transformer_blocks_{found[1]}_attn"
        return _qkv(block) if found[2] == "img" else tuple(f"{block}_add_{letter}_proj" for letter in "qkv")
    return _qkv(flat.removesuffix("_qkv")) if flat.endswith("_attention_qkv") else ()


def _qkv(block: str) -> tuple[str, ...]:
    return tuple(f"{block}_to_{letter}" for letter in "qkv")


def _in_diffusers(flat: str, layers_per_block: int) -> str:
    """Return diffusers' name of a layer that has another name in the original code."""
    if found := re.fullmatch(r"double_blocks_(\d+)_(.+)", flat):
        return f"transformer_blocks_{found[1]}_{_BFL.get(found[2], found[2])}"
    if found := re.fullmatch(r"single_blocks_(\d+)_(.+)", flat):
        return f"single_transformer_blocks_{found[1]}_{_BFL_SINGLE.get(found[2], found[2])}"
    if flat.endswith("_attention_out"):
        return flat.removesuffix("_out") + "_to_out_0"
    if flat in _SGM_TOP or flat in _BFL_TOP:
        return {**_SGM_TOP, **_BFL_TOP}[flat]
    found = re.fullmatch(r"(input_blocks|middle_block|output_blocks)_(\d{1,4})_(.+)", flat)
    return _sgm_block(found[1], int(found[2]), found[3], layers_per_block) if found else ""


def _sgm_block(kind: str, number: int, rest: str, layers_per_block: int) -> str:
    if kind == "middle_block":
        place, inner = ("resnets_0", "attentions_0", "resnets_1")[min(number, 2)], rest
        return f"mid_block_{place}_{_SGM.get(inner, inner)}"
    position = number - 1 if kind == "input_blocks" else number
    block, layer = divmod(position, layers_per_block + 1)
    index, _, inner = rest.partition("_")
    if kind == "input_blocks" and inner == "op":
        return f"down_blocks_{block}_downsamplers_0_conv"
    if kind == "output_blocks" and inner == "conv":
        return f"up_blocks_{block}_upsamplers_0_conv"
    place = f"{'down' if kind == 'input_blocks' else 'up'}_blocks_{block}"
    return f"{place}_{'resnets' if index == '0' else 'attentions'}_{layer}_{_SGM.get(inner, inner)}"
