"""Pipelines with random weights, a few megabytes each. They need no network and no stored model."""

from pathlib import Path
from typing import Any

import torch

SIDE = 64
"""Native size of `stable_diffusion` in pixels."""
TOKENS = 16
"""Input length of its text encoder, start and end tokens included."""


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocab = {name: number for number, name in enumerate(names)}
    return CLIPTokenizer(vocab, [], unk_token="<|endoftext|>", model_max_length=TOKENS)


def _clip_config(**changes: Any) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=TOKENS,
        vocab_size=60,
        projection_dim=32,
        **changes,
    )


def _autoencoder(latent_channels: int = 4, **changes: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[8, 8, 8, 8],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=latent_channels,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=SIDE,
        **changes,
    )


def _unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "sample_size": SIDE // 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**settings | changes)


def _noise_schedule() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )


def stable_diffusion() -> Any:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    return StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_clip_config()),
        tokenizer=_clip_tokenizer(),
        unet=_unet(),
        scheduler=_noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(**changes: Any) -> Any:
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    unet = _unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
        use_linear_projection=True,
        **changes,
    )
    return StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_clip_config()),
        text_encoder_2=CLIPTextModelWithProjection(_clip_config()),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=unet,
        scheduler=_noise_schedule(),
    )


def stable_diffusion_xl_lcm() -> Any:
    """A distilled pipeline: its UNet takes the guidance as an input and runs once per step."""
    return stable_diffusion_xl(time_cond_proj_dim=8)


def _qwen_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    letters = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    vocab = {letter: number for number, letter in enumerate(["<|endoftext|>", *letters])}
    tokenizer = Qwen2Tokenizer(vocab, [], model_max_length=512, pad_token="<|endoftext|>")
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    return tokenizer


def _qwen_config(layers: int = 2) -> Any:
    from transformers import Qwen3Config

    return Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=200,
        max_position_embeddings=512,
        head_dim=8,
    )


def z_image(layers: int = 1) -> Any:
    """A transformer that predicts flow. Width and height are multiples of 16."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Model

    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=layers,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    with torch.no_grad():
        transformer.x_pad_token.zero_()
        transformer.cap_pad_token.zero_()
    return ZImagePipeline(
        transformer=transformer,
        vae=_autoencoder(16, shift_factor=0.1, scaling_factor=0.4),
        text_encoder=Qwen3Model(_qwen_config()),
        tokenizer=_qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux_2_klein() -> Any:
    """Packed latents, and layers 9, 18 and 27 of the text encoder combined. Distilled, so it has no guidance."""
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3ForCausalLM

    torch.manual_seed(0)
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    autoencoder = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=SIDE
    )
    return Flux2KleinPipeline(
        transformer=transformer,
        vae=autoencoder,
        text_encoder=Qwen3ForCausalLM(_qwen_config(layers=28)),
        tokenizer=_qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        is_distilled=True,
    )


def flux() -> Any:
    """A transformer with packed latents, distilled guidance and two text encoders."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(0)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(chr(code) for code in range(ord("a"), ord("z") + 1))]
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    config = T5Config(d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=len(pieces))
    return FluxPipeline(
        transformer=transformer,
        vae=_autoencoder(shift_factor=0.1, scaling_factor=0.4, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_clip_config()),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=T5EncoderModel(config),
        tokenizer_2=T5Tokenizer([(piece, -1.0) for piece in pieces], extra_ids=0),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def save(pipeline: Any, folder: Path) -> Path:
    """Save the pipeline. Return `folder`."""
    pipeline.save_pretrained(folder)
    return folder
