"""LoRA files: `loras/<id>.safetensors` of a model folder. In kohya's layout or in that of diffusers."""

from .base import lora_base
from .check import check_lora
from .keys import LoraLayer, read_layers
from .modules import Modules, Target

__all__ = [
    "LoraLayer",
    "Modules",
    "Target",
    "check_lora",
    "lora_base",
    "read_layers",
]
