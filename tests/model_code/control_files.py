"""ControlNet files with random weights, as diffusers saves them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch


def create_control(backbone: Any, *, seed: int = 1, **changes: Any) -> Any:
    """Return a ControlNet of a UNet or a transformer, without zeros, so that it has an effect."""
    torch.manual_seed(seed)
    warnings.filterwarnings("ignore", "`FluxPosEmbed` is deprecated")  # by diffusers; pytest restores the filters
    net = {
        "UNet2DConditionModel": _of_unet,
        "FluxTransformer2DModel": _of_flux,
        "QwenImageTransformer2DModel": _of_qwen_image,
        "SD3Transformer2DModel": _of_sd3,
        "SanaTransformer2DModel": _of_sana,
        "ZImageTransformer2DModel": _of_z_image,
    }[type(backbone).__name__](backbone, changes)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("controlnet_", "pos_embed_input.")) or name.split(".")[-2] in (
                "after_proj",
                "before_proj",
            ):
                parameter.normal_(std=0.5)
    return net.eval()


def write_control(backbone: Any, file: Path, *, seed: int = 1, **changes: Any) -> Any:
    """Write a ControlNet of a UNet or a transformer. Return it."""
    from safetensors.torch import save_file

    net = create_control(backbone, seed=seed, **changes)
    file.parent.mkdir(exist_ok=True)
    save_file(net.state_dict(), file)
    return net


def _of_unet(unet: Any, changes: dict[str, Any]) -> Any:
    from diffusers import ControlNetModel

    plain = type(unet).from_config(unet.config)
    weights = {name: value.to_dense() if value.is_mkldnn else value for name, value in unet.state_dict().items()}
    plain.load_state_dict(weights)
    return ControlNetModel.from_unet(plain, **{"conditioning_embedding_out_channels": (4, 4, 8, 8)} | changes)


def _of_flux(transformer: Any, changes: dict[str, Any]) -> Any:
    from diffusers import FluxControlNetModel

    settings = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    settings |= {"num_layers": 1, "num_single_layers": 0} | changes
    return FluxControlNetModel.from_config(settings)


def _of_qwen_image(transformer: Any, changes: dict[str, Any]) -> Any:
    from diffusers import QwenImageControlNetModel

    settings = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    return QwenImageControlNetModel.from_config(settings | {"num_layers": 1} | changes)


STABILITY: dict[str, Any] = {
    "joint_attention_dim": None, "use_pos_embed": False, "pos_embed_type": None, "pos_embed_max_size": None,
    "force_zeros_for_pooled_projection": False, "dual_attention_layers": (), "qk_norm": None,
}  # fmt: skip
"""What Stability AI's ControlNets of Stable Diffusion 3.5 Large have: they do not read the prompt."""


def _of_sd3(transformer: Any, changes: dict[str, Any]) -> Any:
    from diffusers import SD3ControlNetModel

    settings = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    return SD3ControlNetModel.from_config(settings | {"num_layers": 1} | changes)


def _of_sana(transformer: Any, changes: dict[str, Any]) -> Any:
    from diffusers import SanaControlNetModel

    settings = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    return SanaControlNetModel.from_config(settings | {"num_layers": 1} | changes)


def _of_z_image(transformer: Any, changes: dict[str, Any]) -> Any:
    """As version 2.1: with blocks of its own before the others, and inputs for a mask and the masked image."""
    from diffusers import ZImageControlNetModel

    names = ("all_patch_size", "all_f_patch_size", "dim", "n_refiner_layers", "n_heads", "n_kv_heads", "norm_eps")
    settings: dict[str, Any] = {name: transformer.config[name] for name in names} | {
        "control_layers_places": [0],
        "control_refiner_layers_places": [*range(transformer.config.n_refiner_layers)],
        "control_in_dim": 2 * transformer.config.in_channels + 1,
        "add_control_noise_refiner": "control_noise_refiner",
    }
    return ZImageControlNetModel(**settings | changes)
