"""Kinds of the fields of config.json, by their names: a name means the same in nearly every class that has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .kinds import (
    COUNT,
    COUNTS,
    DECIMAL,
    FLAG,
    LIST,
    NULL,
    NUMBER,
    POSITIVE,
    POSITIVE_DECIMAL,
    TEXT,
    TOKEN,
    WHOLE,
    Kinds,
    list_of,
    one_of,
)

_ACTIVATIONS = one_of("gelu", "mish", "relu", "silu", "swish")
_OTHER_ACTIVATIONS = one_of(
    "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "mish",
    "quick_gelu", "relu", "relu2", "relu6", "silu", "swish",
)  # fmt: skip
_TEXTS = list_of(TEXT)

_OF_DIFFUSERS: Kinds = {
    **dict.fromkeys(
        (
            "approximator_hidden_dim", "approximator_num_channels", "attention_head_dim", "base_dim", "cap_feat_dim",
            "caption_channels", "caption_projection_dim", "conv_in_kernel", "conv_out_kernel", "dim",
            "ffn_hidden_size", "hidden_size", "in_channels", "input_channels", "joint_attention_dim",
            "latent_channels", "multiple_of", "n_heads", "n_kv_heads", "norm_num_groups", "num_attention_heads",
            "num_kv_heads", "patch_size", "pooled_projection_dim", "pos_embed_max_size", "text_in_dim",
            "timestep_guidance_channels", "upsampling_scaling_factor", "z_dim",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "approximator_layers", "layers_per_block", "n_layers", "n_refiner_layers", "num_layers",
            "num_refiner_layers", "num_res_blocks", "num_single_layers",
        ),
        WHOLE,
    ),
    **dict.fromkeys(
        (
            "all_f_patch_size", "all_patch_size", "axes_dim_rope", "axes_dims", "axes_dims_rope", "axes_lens",
            "block_out_channels", "decoder_block_out_channels", "dim_mult", "encoder_block_out_channels",
            "num_decoder_blocks", "num_encoder_blocks", "rope_axes_dim",
        ),
        COUNTS,
    ),
    **dict.fromkeys(("decoder_layers_per_block", "encoder_layers_per_block"), list_of(WHOLE)),
    **dict.fromkeys(("decoder_act_fns", "decoder_block_types", "decoder_norm_types", "encoder_block_types"),
                    TEXT | _TEXTS),
    **dict.fromkeys(("batch_norm_eps", "eps", "mlp_ratio", "norm_eps", "rope_theta", "scaling_factor", "t_scale"),
                    POSITIVE),
    **dict.fromkeys(("attn_scales", "dual_attention_layers", "temperal_downsample"), LIST),
    **dict.fromkeys(("cross_attention_dim", "cross_attention_head_dim", "num_cross_attention_heads", "out_channels"),
                    COUNT | NULL),
    **dict.fromkeys(("latents_mean", "latents_std"), list_of(NUMBER) | NULL),
    **dict.fromkeys(("ffn_dim_multiplier", "shift_factor"), NUMBER | NULL),
    "act_fn": _ACTIVATIONS,
    "dropout": NUMBER,
}  # fmt: skip
_OF_AUTOENCODERS: Kinds = {
    "down_block_types": list_of(one_of("AttnDownEncoderBlock2D", "DownEncoderBlock2D")),
    "up_block_types": list_of(one_of("AttnUpDecoderBlock2D", "UpDecoderBlock2D")),
    "out_channels": COUNT,
    "sample_size": COUNT | COUNTS,
}
_OF_UNETS: Kinds = {
    "attention_head_dim": COUNT | COUNTS,
    "cross_attention_dim": COUNT | COUNTS,
    "down_block_types": list_of(
        one_of(
            "AttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "KCrossAttnDownBlock2D", "KDownBlock2D",
            "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D",
        )
    ),
    **dict.fromkeys(("addition_time_embed_dim", "projection_class_embeddings_input_dim"), COUNT | NULL),
    **dict.fromkeys(("center_input_sample", "class_embeddings_concat", "dual_cross_attention", "flip_sin_to_cos",
                     "resnet_skip_time_act", "use_linear_projection"), FLAG),
    # A pipeline gives its UNet neither classes nor images.
    **dict.fromkeys(("class_embed_type", "encoder_hid_dim_type", "num_class_embeds"), one_of(None)),
    "addition_embed_type": one_of("text", "text_time", None),
    "addition_embed_type_num_heads": COUNT,
    "attention_type": one_of("default", "gated", "gated-text-image"),
    "cross_attention_norm": one_of("group_norm", "layer_norm", None),
    "mid_block_only_cross_attention": FLAG | NULL,
    "only_cross_attention": FLAG | list_of(FLAG),
    "resnet_out_scale_factor": POSITIVE,
    "upcast_attention": FLAG | NULL,
    "downsample_padding": WHOLE,
    "freq_shift": NUMBER,
    "layers_per_block": WHOLE | list_of(WHOLE),
    "mid_block_scale_factor": POSITIVE,
    "mid_block_type": one_of("UNetMidBlock2D", "UNetMidBlock2DCrossAttn", "UNetMidBlock2DSimpleCrossAttn", None),
    "norm_num_groups": COUNT | NULL,
    "num_attention_heads": COUNT | COUNTS | NULL,
    "out_channels": COUNT,
    "resnet_time_scale_shift": one_of("default", "scale_shift", "spatial", "ada_group"),
    "time_cond_proj_dim": COUNT | NULL,
    "time_embedding_act_fn": _ACTIVATIONS | NULL,
    "time_embedding_dim": COUNT | NULL,
    "time_embedding_type": one_of("fourier", "positional"),
    "timestep_post_act": _ACTIVATIONS | NULL,
    "transformer_layers_per_block": WHOLE | LIST,
    "up_block_types": list_of(
        one_of(
            "AttnUpBlock2D", "CrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D", "ResnetUpsampleBlock2D",
            "SimpleCrossAttnUpBlock2D", "UpBlock2D",
        )
    ),
}  # fmt: skip
_OF_CLASSES: Mapping[str, Kinds] = {
    "AutoencoderKL": _OF_AUTOENCODERS,
    "AutoencoderKLFlux2": _OF_AUTOENCODERS | {"patch_size": COUNTS, "decoder_block_out_channels": COUNTS | NULL},
    **{name: {"eos_token_id": TOKEN} for name in ("CLIPTextModel", "CLIPTextModelWithProjection")},
    "Gemma2Model": {"head_dim": COUNT, "num_key_value_heads": COUNT},
    "Ministral3ForCausalLM": {"head_dim": COUNT, "num_key_value_heads": COUNT},
    **{name: {"head_dim": COUNT} for name in ("Qwen3ForCausalLM", "Qwen3Model")},
    "T5EncoderModel": {"is_decoder": one_of(False)},
    "AutoencoderKLQwenImage": dict.fromkeys(("latents_mean", "latents_std"), list_of(NUMBER)),
    "UNet2DConditionModel": _OF_UNETS,
}
_OF_TRANSFORMERS: Kinds = {
    **dict.fromkeys(
        (
            "d_ff", "d_kv", "d_model", "depth", "hidden_size", "intermediate_size", "max_position_embeddings",
            "num_attention_heads", "num_channels", "num_heads", "num_hidden_layers", "num_layers", "out_hidden_size",
            "patch_size", "query_pre_attn_scalar", "relative_attention_max_distance", "relative_attention_num_buckets",
            "spatial_merge_size", "temporal_patch_size", "tokens_per_second", "vocab_size", "window_size",
        ),
        COUNT,
    ),
    **dict.fromkeys(("head_dim", "num_key_value_heads", "projection_dim", "projection_size", "sliding_window"),
                    COUNT | NULL),
    "num_decoder_layers": WHOLE | NULL,
    "image_size": COUNT | COUNTS,
    "max_window_layers": WHOLE,
    # transformers takes no 1 for 1.0 in these.
    **dict.fromkeys(("initializer_factor", "initializer_range"), DECIMAL),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping"), DECIMAL | NULL),
    **dict.fromkeys(("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps"), POSITIVE_DECIMAL),
    **dict.fromkeys(("classifier_dropout", "dropout_rate"), NUMBER),
    **dict.fromkeys(("attention_dropout", "logit_scale_init_value"), NUMBER | NULL),
    **dict.fromkeys(("bos_token_id", "pad_token_id"), TOKEN | NULL),
    **dict.fromkeys(("image_token_id", "image_token_index", "video_token_id", "vision_end_token_id",
                     "vision_start_token_id"), TOKEN),
    "decoder_start_token_id": TOKEN | NULL,
    "eos_token_id": TOKEN | list_of(TOKEN) | NULL,
    **dict.fromkeys(("fullatt_block_indexes", "vision_feature_layer"), TOKEN | list_of(TOKEN)),
    **dict.fromkeys(("dense_act_fn", "hidden_act", "hidden_activation", "projector_hidden_act"), _OTHER_ACTIVATIONS),
    "feed_forward_proj": TEXT,
    "layer_types": _TEXTS | NULL,
    **dict.fromkeys(("attention_bias", "is_encoder_decoder", "multimodal_projector_bias", "tie_word_embeddings",
                     "use_cache", "use_sliding_window", "vision_use_head"), FLAG),
    "use_bidirectional_attention": FLAG | NULL,
    "factor": POSITIVE,
    "rope_theta": POSITIVE,
    "rope_type": one_of("default", "axial", "dynamic", "linear", "llama3", "longrope", "mrope", "proportional", "yarn"),
}  # fmt: skip


def kinds_of(library: str, class_name: str) -> Kinds:
    """Return what the fields of a class may be. Other fields may be anything."""
    return {**(_OF_DIFFUSERS if library == "diffusers" else _OF_TRANSFORMERS), **_OF_CLASSES.get(class_name, {})}


def objects(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the settings and those of the parts in them, with a prefix for the names of fields."""
    yield "", settings
    for part in ("rope_parameters", "text_config", "vision_config"):
        if isinstance(settings.get(part), dict):
            yield from ((f"{part}.{prefix}", fields) for prefix, fields in objects(settings[part]))
