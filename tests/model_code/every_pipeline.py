"""A tiny random pipeline of every class that a model folder may name, for the laptop's versions and the image's."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.model_code import tiny

TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
TOKENS = 64
"""Input length of the tokenizers but CLIP's."""


def _autoencoder(channels: int = 4, **changes: Any) -> Any:
    return tiny._autoencoder(channels, shift_factor=0.1, scaling_factor=0.4, **changes)


def _flux_autoencoder(channels: int = 4) -> Any:
    from diffusers import AutoencoderKLFlux2

    widths = (8, 8, 8, 8)
    return AutoencoderKLFlux2(
        block_out_channels=widths, layers_per_block=1, latent_channels=channels, norm_num_groups=4, sample_size=64
    )


def _flow_scheduler(**changes: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**changes)


def _t5(width: int = 32) -> Mapping[str, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase]
    config = T5Config(d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=len(pieces))
    tokenizer = T5Tokenizer([(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=TOKENS)
    return {"text_encoder": T5EncoderModel(config), "tokenizer": tokenizer}


def _clip(projection: bool = False) -> Mapping[str, Any]:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection if projection else CLIPTextModel
    return {"text_encoder": model(tiny._clip_config()), "tokenizer": tiny._clip_tokenizer()}


def _numbered(number: int, parts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_{number}": part for name, part in parts.items()}


def _gemma() -> Mapping[str, Any]:
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *string.ascii_lowercase]
    config = Gemma2Config(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(pieces),
        max_position_embeddings=512,
    )
    tokenizer = GemmaTokenizer({piece: number for number, piece in enumerate(pieces)}, [], model_max_length=TOKENS)
    tokenizer.padding_side = "right"
    return {"text_encoder": Gemma2Model(config), "tokenizer": tokenizer}


def _qwen(causal: bool = False, layers: int = 2) -> Mapping[str, Any]:
    from transformers import Qwen3ForCausalLM, Qwen3Model

    model = Qwen3ForCausalLM if causal else Qwen3Model
    return {"text_encoder": model(tiny._qwen_config(layers)), "tokenizer": tiny._qwen_tokenizer()}


def _qwen_vl(**ids: int) -> Mapping[str, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    sizes = {"hidden_size": 16, "intermediate_size": 16}
    text = {
        **sizes,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
        "vocab_size": 200,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    vision = {**sizes, "depth": 2, "num_heads": 2, "out_hidden_size": 16}
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    ids = dict.fromkeys(names, 199) | ids
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    return {"text_encoder": Qwen2_5_VLForConditionalGeneration(config), "tokenizer": tiny._qwen_tokenizer()}


def _backend_tokenizer(template: str | None = TEMPLATE) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", "<unk>", "[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    vocabulary = {name: number for number, name in enumerate([*names, *pre_tokenizers.ByteLevel.alphabet()])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    special = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), names, strict=False))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=TOKENS, additional_special_tokens=names[4:], **special
    )
    tokenizer.chat_template = template
    return tokenizer


def _mistral_settings(layers: int) -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 300,
        "max_position_embeddings": 1024,
    }


def _mistral_config(layers: int) -> Any:
    from transformers import Mistral3Config

    vision = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "head_dim": 8,
    }
    text = {"model_type": "mistral", **_mistral_settings(layers)}
    return Mistral3Config(text_config=text, vision_config=vision, image_token_index=4)


def chroma() -> Any:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    transformer = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=64,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    return ChromaPipeline(transformer=transformer, vae=_autoencoder(), scheduler=_flow_scheduler(), **_t5())


def ernie_image() -> Any:
    from diffusers import ErnieImagePipeline, ErnieImageTransformer2DModel
    from transformers import Ministral3Config, Ministral3ForCausalLM, Mistral3Model

    transformer = ErnieImageTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_layers=1,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=16,
        rope_axes_dim=(4, 6, 6),
    )
    enhancer = Ministral3ForCausalLM(Ministral3Config(**_mistral_settings(2)))
    return ErnieImagePipeline(
        transformer=transformer,
        vae=_flux_autoencoder(),
        text_encoder=Mistral3Model(_mistral_config(2)),
        tokenizer=_backend_tokenizer(),
        scheduler=_flow_scheduler(),
        pe=enhancer,
        pe_tokenizer=_backend_tokenizer(),
    )


def flux_2() -> Any:
    """With a plain tokenizer: `PixtralProcessor` needs torchvision, which a laptop does not have."""
    from diffusers import Flux2Pipeline, Flux2Transformer2DModel
    from transformers import Mistral3ForConditionalGeneration

    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
    )
    return Flux2Pipeline(
        transformer=transformer,
        vae=_flux_autoencoder(),
        text_encoder=Mistral3ForConditionalGeneration(_mistral_config(30)),
        tokenizer=_backend_tokenizer("{% for message in messages %}{{ message.content[0].text }}{% endfor %}"),
        scheduler=_flow_scheduler(use_dynamic_shifting=True),
    )


def latent_consistency_model() -> Any:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    return LatentConsistencyModelPipeline(
        vae=tiny._autoencoder(),
        **_clip(),
        unet=tiny._unet(time_cond_proj_dim=8),
        scheduler=LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def lumina_2() -> Any:
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(512, 64, 64),
        cap_feat_dim=8,
    )
    return Lumina2Pipeline(transformer=transformer, vae=_autoencoder(), scheduler=_flow_scheduler(), **_gemma())


def ovis_image() -> Any:
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel

    transformer = OvisImageTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    scheduler = _flow_scheduler(use_dynamic_shifting=True)
    return OvisImagePipeline(transformer=transformer, vae=_autoencoder(), scheduler=scheduler, **_qwen())


def qwen_image() -> Any:
    from diffusers import AutoencoderKLQwenImage, QwenImagePipeline, QwenImageTransformer2DModel

    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    autoencoder = AutoencoderKLQwenImage(
        base_dim=24,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    scheduler = _flow_scheduler(use_dynamic_shifting=True)
    return QwenImagePipeline(transformer=transformer, vae=autoencoder, scheduler=scheduler, **_qwen_vl())


def qwen_image_edit_plus() -> Any:
    """With an image processor in place of a processor, as the container has them on a laptop."""
    import transformers
    from diffusers import QwenImageEditPlusPipeline

    parts = qwen_image().components
    tokenizer = parts["tokenizer"]
    words = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": words})
    start, end, image = tokenizer.convert_tokens_to_ids(words)
    ids = {"vision_start_token_id": start, "vision_end_token_id": end, "image_token_id": image}
    name = "Qwen2VLImageProcessorPil" if hasattr(transformers, "Qwen2VLImageProcessorPil") else "Qwen2VLImageProcessor"
    processor = getattr(transformers, name)(min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    return QwenImageEditPlusPipeline(
        **{**parts, "text_encoder": _qwen_vl(**ids)["text_encoder"], "processor": processor}
    )


def sana(**changes: Any) -> Any:
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel

    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=8,
        sample_size=16,  # the pipeline generates at 512 and scales; with 32 at 1024
        **changes,
    )
    widths, blocks = (4, 4, 8, 8), ("ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock")
    autoencoder = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_qkv_multiscales=((), (), (), (5,)),
        decoder_qkv_multiscales=((), (), (), (5,)),
        encoder_layers_per_block=(1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
    )
    return SanaPipeline(transformer=transformer, vae=autoencoder, scheduler=_flow_scheduler(shift=3.0), **_gemma())


def stable_diffusion_3(**changes: Any) -> Any:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        **{"num_layers": 2} | changes,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        vae=_autoencoder(16),
        scheduler=_flow_scheduler(),
        **_clip(projection=True),
        **_numbered(2, _clip(projection=True)),
        **_numbered(3, _t5(width=64)),
    )


def stable_diffusion_with_all_parts() -> Any:
    """With the optional parts: safety checker, its image processor, and the image encoder of adapters."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    pipeline = tiny.stable_diffusion()
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=32,
        patch_size=16,
        projection_dim=32,
    )
    size = {"height": 32, "width": 32}
    pipeline.register_modules(
        safety_checker=StableDiffusionSafetyChecker(
            CLIPConfig(text_config=tiny._clip_config().to_dict(), vision_config=vision.to_dict(), projection_dim=32)
        ),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
        image_encoder=CLIPVisionModelWithProjection(vision),
    )
    return pipeline


def stable_diffusion_xl_with_one_encoder() -> Any:
    pipeline = tiny.stable_diffusion_xl()
    unet = dict(pipeline.unet.config) | {"cross_attention_dim": 32}
    pipeline.register_modules(text_encoder=None, tokenizer=None, unet=type(pipeline.unet).from_config(unet))
    return pipeline


def stable_diffusion_3_without_t5() -> Any:
    pipeline = stable_diffusion_3()
    pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)
    return pipeline


def ernie_image_without_enhancer() -> Any:
    pipeline = ernie_image()
    pipeline.register_modules(pe=None, pe_tokenizer=None)
    return pipeline


PIPELINES: dict[str, Callable[[], Any]] = {
    "ChromaPipeline": chroma,
    "ErnieImagePipeline": ernie_image,
    "Flux2KleinPipeline": tiny.flux_2_klein,
    "Flux2Pipeline": flux_2,
    "FluxPipeline": tiny.flux,
    "LatentConsistencyModelPipeline": latent_consistency_model,
    "Lumina2Pipeline": lumina_2,
    "OvisImagePipeline": ovis_image,
    "QwenImageEditPlusPipeline": qwen_image_edit_plus,
    "QwenImagePipeline": qwen_image,
    "SanaPipeline": sana,
    "StableDiffusion3Pipeline": stable_diffusion_3,
    "StableDiffusionPipeline": tiny.stable_diffusion,
    "StableDiffusionXLPipeline": tiny.stable_diffusion_xl,
    "ZImagePipeline": tiny.z_image,
}


OTHER_PARTS: dict[str, Callable[[], Any]] = {
    "all parts": stable_diffusion_with_all_parts,
    "one text encoder": stable_diffusion_xl_with_one_encoder,
    "no T5": stable_diffusion_3_without_t5,
    "no prompt enhancer": ernie_image_without_enhancer,
}
"""Pipelines with other optional parts than those of PIPELINES."""


def create(name: str) -> Any:
    """Return a pipeline of PIPELINES or OTHER_PARTS, always with the same weights."""
    torch.manual_seed(0)
    return (PIPELINES | OTHER_PARTS)[name]()


def trained(family: str) -> Any:
    """Return a pipeline without dropout, whose image depends on the prompt: new layers have zeros."""
    pipeline = create(family)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
    for weights in denoiser.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    if family == "ZImagePipeline":
        denoiser.rope_embedder.axes_lens = [1024, 32, 32]
    return pipeline
