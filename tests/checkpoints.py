"""Small random pipelines, and their weights in the layout of single-file checkpoints.

The names are written here once more, from the other direction: diffusers' to those of the original training code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

LATENTS, WIDTH, WIDTH_2, TOKENS = 8, 64, 128, 77
Weights = dict[str, torch.Tensor]


def stable_diffusion_1() -> Any:
    """As Stable Diffusion 1.5: eight heads, convolutions around the attention."""
    return _stable_diffusion(_clip(WIDTH, 2, "quick_gelu"), attention_head_dim=8)


def stable_diffusion_2() -> Any:
    """As Stable Diffusion 2.1: OpenCLIP, heads of 64 channels, linear layers around the attention."""
    encoder = _clip(WIDTH, 2, "gelu")
    return _stable_diffusion(encoder, attention_head_dim=[1, 1, 1, 2], use_linear_projection=True)


def stable_diffusion_xl() -> Any:
    """As SDXL: two text encoders, three blocks of 0, 1 and 2 transformer layers."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    torch.manual_seed(0)
    unet = _unet(
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 1, 2),
        use_linear_projection=True,
        cross_attention_dim=WIDTH + WIDTH_2,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=WIDTH_2 + 6 * 256,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip(WIDTH, 2, "quick_gelu"),
        text_encoder_2=_clip(WIDTH_2, 2, "gelu", projects=True),
        tokenizer=_no_tokenizer(),
        tokenizer_2=_no_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
    )


def _stable_diffusion(encoder: Any, **unet: Any) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=encoder,
        tokenizer=_no_tokenizer(),
        unet=_unet(cross_attention_dim=WIDTH, **unet),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _unet(**settings: Any) -> Any:
    from diffusers import UNet2DConditionModel

    default = {"block_out_channels": (32, 32, 64, 128), "layers_per_block": 2, "sample_size": LATENTS}
    return UNet2DConditionModel(**(default | settings)).half()


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[32, 32, 64, 64],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
    ).half()


def _clip(width: int, layers: int, act: str, projects: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=width // 64,
        num_hidden_layers=layers,
        max_position_embeddings=TOKENS,
        vocab_size=49408,
        projection_dim=width,
        hidden_act=act,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config).half()


def _no_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer({"<|startoftext|>": 0, "<|endoftext|>": 1}, [])


# --- to the original layout ----------------------------------------------------------------------


def original_layout(pipeline: Any, base: str) -> Weights:
    """Return the weights of the pipeline as a checkpoint of `base` (sd-1, sd-2, sdxl) has them."""
    unet, vae = pipeline.unet, pipeline.vae
    layers, blocks = 3, len(vae.config.block_out_channels)
    weights = _with_upsampler_slots(
        {f"model.diffusion_model.{_unet_name(k, layers)}": v for k, v in unet.state_dict().items()}
    )
    for name, tensor in vae.state_dict().items():
        linear = ".attentions." in name and tensor.ndim == 2
        weights[f"first_stage_model.{_vae_name(name, blocks)}"] = tensor[:, :, None, None] if linear else tensor
    if base == "sd-1":
        return weights | _clip_layout(pipeline.text_encoder, "cond_stage_model.transformer.")
    if base == "sd-2":
        return weights | _open_clip_layout(pipeline.text_encoder, "cond_stage_model.model.", unused_layer=True)
    weights |= _clip_layout(pipeline.text_encoder, "conditioner.embedders.0.transformer.")
    return weights | _open_clip_layout(pipeline.text_encoder_2, "conditioner.embedders.1.model.")


_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)


def _unet_name(name: str, layers: int) -> str:
    module, _, leaf = name.rpartition(".")
    if module in _UNET:
        return f"{_UNET[module]}.{leaf}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        slot = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{slot}.{_resnet(found[3]) if slot != 1 else found[3]}"
    found = re.fullmatch(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", name)
    assert found, name
    way, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    index = layers * block + layer + (1 if way == "down" else 0)
    if kind == "downsamplers":
        return f"input_blocks.{layers * (block + 1)}.0.op.{leaf}"
    if kind == "upsamplers":  # after the attention of the block's last layer, where there is one
        return f"output_blocks.{layers * block + 2}.UP.conv.{leaf}"
    side = "input" if way == "down" else "output"
    return f"{side}_blocks.{index}." + (f"0.{_resnet(rest)}" if kind == "resnets" else f"1.{rest}")


def _resnet(name: str) -> str:
    for new, old in _RESNET:
        name = name.replace(new, old)
    return name


def _with_upsampler_slots(weights: Weights) -> Weights:
    """Return the weights with the upsamplers at 2 behind an attention, and at 1 where there is none."""

    def slot(name: str) -> str:
        start = name.partition("UP")[0]
        return name.replace("UP", "2" if f"{start}1.norm.weight" in weights else "1")

    return {slot(name): tensor for name, tensor in weights.items()}


def _vae_name(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("mid_block.attentions.0", "mid.attn_1")
    for new, old in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{blocks - 1 - int(found[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name)
    return name.replace("conv_shortcut", "nin_shortcut")


def _encoder(model: Any) -> Weights:
    """Return the weights with the prefix that transformers 5.6 dropped from one of its classes."""
    weights = model.state_dict()
    return {
        k if k.startswith(("text_model.", "text_projection.")) else f"text_model.{k}": v for k, v in weights.items()
    }


def _clip_layout(model: Any, prefix: str) -> Weights:
    ids = {f"{prefix}text_model.embeddings.position_ids": torch.arange(TOKENS)[None]}
    return {f"{prefix}{name}": tensor for name, tensor in _encoder(model).items()} | ids


def _open_clip_layout(model: Any, prefix: str, unused_layer: bool = False) -> Weights:
    weights, result = _encoder(model), Weights()
    embeddings = {
        "token_embedding.weight": "token_embedding.weight",
        "position_embedding.weight": "positional_embedding",
    }
    for new, old in embeddings.items():
        result[prefix + old] = weights[f"text_model.embeddings.{new}"]
    for leaf in ("weight", "bias"):
        result[f"{prefix}ln_final.{leaf}"] = weights[f"text_model.final_layer_norm.{leaf}"]
    if "text_projection.weight" in weights:
        result[f"{prefix}text_projection"] = weights["text_projection.weight"].T.contiguous()
    result[f"{prefix}logit_scale"] = torch.tensor(4.6)
    count = model.config.num_hidden_layers
    for layer in range(count):
        result |= _open_clip_layer(
            weights, f"text_model.encoder.layers.{layer}.", f"{prefix}transformer.resblocks.{layer}."
        )
    if unused_layer:
        last = f"{prefix}transformer.resblocks.{count}."
        result |= _open_clip_layer(weights, f"text_model.encoder.layers.{count - 1}.", last)
    return result


def _open_clip_layer(weights: Weights, new: str, old: str) -> Weights:
    names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
             "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    result = Weights()
    for leaf in ("weight", "bias"):
        result |= {f"{old}{b}.{leaf}": weights[f"{new}{a}.{leaf}"] for a, b in names.items()}
        parts = [weights[f"{new}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
        result[f"{old}attn.in_proj_{leaf}"] = torch.cat(parts)
    return result


def save_checkpoint(weights: Weights, path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write a safetensors file. Return `path`."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}, path, metadata
    )
    return path
