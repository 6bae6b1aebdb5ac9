"""The smallest files that the rule of model folders accepts. No library loads them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": [None, None],
}
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"


def safetensors(content: bytes) -> bytes:
    """Return a safetensors file whose only tensor, `a`, has the bytes `content`."""
    header = {"a": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def tensors(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file of float32 zeros with these shapes."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        first, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [first, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def lora(rank: int = 2, channels: int = 4) -> bytes:
    """Return a LoRA for `UNET_OF_LORA`, if that has as many channels."""
    layer = "lora_unet_conv_in"
    return tensors({f"{layer}.lora_down.weight": (rank, channels, 3, 3), f"{layer}.lora_up.weight": (8, rank, 1, 1)})


UNET_OF_LORA = {"conv_in.weight": (8, 4, 3, 3)}


def stable_diffusion() -> dict[str, bytes]:
    """Return path to content of a folder of Stable Diffusion with plain weights. All of it is UTF-8."""
    return {
        "model_index.json": json.dumps(INDEX).encode(),
        "scheduler/scheduler_config.json": b"{}",
        "text_encoder/config.json": b"{}",
        TEXT_ENCODER: safetensors(b"text encoder"),
        "tokenizer/merges.txt": b"a b",
        "tokenizer/tokenizer_config.json": b'{"model_max_length": 77}',
        "tokenizer/vocab.json": b'{"a": 1}',
        "unet/config.json": b"{}",
        UNET: safetensors(b"unet"),
        "vae/config.json": b"{}",
        VAE: safetensors(b"vae"),
    }
