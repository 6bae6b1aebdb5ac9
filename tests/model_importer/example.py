"""A model repository for tests: the files that an import takes, and those that it leaves out."""

import os
from pathlib import Path

from tests.model_files import safetensors, stable_diffusion
from tests.model_importer.hub import LFS_BYTES

WEIGHTS = safetensors(os.urandom(LFS_BYTES))
LARGE = "unet/diffusion_pytorch_model.fp16.safetensors"
TAKEN = {
    name.replace(".safetensors", ".fp16.safetensors"): safetensors(content + os.urandom(LFS_BYTES))
    if name.endswith(".safetensors")
    else content
    for name, content in stable_diffusion().items()
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
