"""ControlNet files with random weights, as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def write_control(unet: Any, file: Path, *, seed: int = 1, **changes: Any) -> Any:
    """Write a ControlNet of a UNet, without zeros, so that it has an effect. Return it."""
    from diffusers import ControlNetModel
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    settings: dict[str, Any] = {"conditioning_embedding_out_channels": (4, 4, 8, 8)}
    net = ControlNetModel.from_unet(unet, **settings | changes)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith("controlnet_"):
                parameter.normal_(std=0.5)
    file.parent.mkdir(exist_ok=True)
    save_file(net.state_dict(), file)
    return net.eval()
