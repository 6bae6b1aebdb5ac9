"""The smallest files that the rule of model folders accepts. No library loads them."""

from __future__ import annotations

import json
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
