"""A model repository for tests: the files that an import takes, and those that it leaves out."""

import json
import os
from pathlib import Path

from tests.model_importer.hub import LFS_BYTES

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.38.0",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "image_encoder": [None, None],
}
WEIGHTS = os.urandom(LFS_BYTES)
LARGE = "unet/diffusion_pytorch_model.fp16.safetensors"
TAKEN = {
    "model_index.json": json.dumps(INDEX).encode(),
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "text_encoder/model.fp16.safetensors": WEIGHTS + b"text",
    "tokenizer/merges.txt": b"a b",
    "tokenizer/vocab.json": b'{"a": 1}',
    "unet/config.json": b"{}",
    LARGE: WEIGHTS + b"unet",
}
"""The files of the variant fp16."""
LEFT_OUT = {
    "README.md": b"a model card",
    "v1-5-pruned.safetensors": WEIGHTS,
    "v1-5-pruned.ckpt": b"pickle",
    "safety_checker/model.fp16.safetensors": WEIGHTS,
    "text_encoder/model.safetensors": WEIGHTS,
    "text_encoder/pytorch_model.fp16.bin": b"pickle",
    "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
    "unet/diffusion_pytorch_model.non_ema.safetensors": WEIGHTS,
    "unet/flax_model.msgpack": b"pickle",
    "tokenizer/notes/more.json": b"{}",
}
SOURCE = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": "fp16"}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, by their paths, below `folder`. Return `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
