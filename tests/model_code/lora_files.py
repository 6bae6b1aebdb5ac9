"""LoRA files with random matrices: in diffusers' layout made by peft, and in kohya's layout by hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "ff.net.2"]
TEXT = ["q_proj", "fc1"]


def backbone(pipeline: Any) -> Any:
    return getattr(pipeline, "unet", None) or pipeline.transformer


def by_peft(pipeline: Any, file: Path, *, text: bool = False, seed: int = 1, strength: float = 1.0) -> None:
    """Write a LoRA of the pipeline as diffusers saves it. `strength`: factor of its random matrices."""
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    warnings.filterwarnings("ignore", "Could not find a config file")  # peft 0.18; pytest restores the filters
    layers = {}
    parts = {"unet" if hasattr(pipeline, "unet") else "transformer": (backbone(pipeline), ATTENTION)}
    if text:
        parts["text_encoder"] = (pipeline.text_encoder, TEXT)
    for name, (part, targets) in parts.items():
        part.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights=False, target_modules=targets))
        found = {key: value * strength for key, value in get_peft_model_state_dict(part).items()}
        layers[f"{name}_lora_layers"] = convert_state_dict_to_diffusers(found) if name == "text_encoder" else found
    pipeline.save_lora_weights(file.parent, weight_name=file.name, **layers)


def shapes(part: Any, prefix: str) -> dict[str, Any]:
    """Return the layers of a part with a weight matrix, named as kohya does: prefix, and underscores for dots."""
    layers = (torch.nn.Linear, torch.nn.Conv2d)
    found = {name: module.weight.shape for name, module in part.named_modules() if isinstance(module, layers)}
    names = {name: f"text_model.{name}" if name.startswith("encoder.") else name for name in found}
    return {f"{prefix}_{names[name].replace('.', '_')}": shape for name, shape in found.items()}


def matrices(shapes: Mapping[str, Any], *, rank: int = 3, alpha: float = 2.0, seed: int = 2) -> Tensors:
    """Return down, up and alpha of layers, in kohya's layout. `shapes`: name to the shape of the layer's weight."""
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for name, (outputs, inputs, *kernel) in shapes.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, inputs, *kernel, generator=generator) * 0.2
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, rank, *(1 for _ in kernel), generator=generator) * 0.2
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors
