"""LoRA files: `loras/<id>.safetensors` of a model folder. In kohya's layout or in that of diffusers."""

from .base import lora_base
from .check import LORAS_FOLDER, check_digests, check_lora, lora_path
from .keys import LoraLayer, read_layers
from .modules import Modules, Target

__all__ = [
    "LORAS_FOLDER",
    "LoraLayer",
    "Modules",
    "Target",
    "check_digests",
    "check_lora",
    "lora_base",
    "lora_path",
    "read_layers",
]
