"""Sizes in the settings of a model that its weights show: the shapes of some tensors, and the number of layers.

A shape has a word for each dimension: a number, a field, an item of a list (`block_out_channels[0]`), their product
with `*`, the quotient of two with `/`, or `_` for any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sizes:
    """What the weights of a class show."""

    shapes: Mapping[str, str]
    """Tensor to its shape."""
    layers: Mapping[str, str] = field(default_factory=dict)
    """Module to the fields with the number of its layers. `#` before a list stands for its length."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """Field, which is true or false, to a tensor that is needed if it is true; after `!` if it is false."""

    def __or__(self, other: Sizes) -> Sizes:
        return Sizes(
            {**self.shapes, **other.shapes}, {**self.layers, **other.layers}, {**self.switches, **other.switches}
        )


_WIDTH = "num_attention_heads*attention_head_dim"
_CLIP_TEXT = Sizes(
    {
        "embeddings.token_embedding.weight": "vocab_size hidden_size",
        "embeddings.position_embedding.weight": "max_position_embeddings hidden_size",
        "encoder.layers.0.mlp.fc1.weight": "intermediate_size hidden_size",
    },
    {"encoder.layers": "num_hidden_layers"},
)
_VISION = Sizes(
    {
        "embeddings.patch_embedding.weight": "hidden_size num_channels patch_size patch_size",
        "encoder.layers.0.mlp.fc1.weight": "intermediate_size hidden_size",
        "visual_projection.weight": "projection_dim hidden_size",
    },
    {"encoder.layers": "num_hidden_layers"},
)
_DECODER = Sizes(
    {
        "embed_tokens.weight": "vocab_size hidden_size",
        "layers.0.self_attn.q_proj.weight": "num_attention_heads*head_dim hidden_size",
        "layers.0.self_attn.k_proj.weight": "num_key_value_heads*head_dim hidden_size",
        "layers.0.mlp.gate_proj.weight": "intermediate_size hidden_size",
    },
    {"layers": "num_hidden_layers"},
    {"attention_bias": "layers.0.self_attn.q_proj.bias"},
)
_MISTRAL = _DECODER | Sizes(
    {},
    switches={"multimodal_projector_bias": "multi_modal_projector.linear_1.bias"},
)
_AUTOENCODER = Sizes(
    {
        "encoder.conv_in.weight": "block_out_channels[0] in_channels 3 3",
        "encoder.mid_block.resnets.0.conv1.weight": "block_out_channels[-1] block_out_channels[-1] 3 3",
        "decoder.conv_in.weight": "_ latent_channels 3 3",
        "decoder.conv_out.weight": "out_channels _ 3 3",
    },
    {
        "encoder.down_blocks": "#block_out_channels #down_block_types",
        "decoder.up_blocks": "#block_out_channels #up_block_types",
        "encoder.down_blocks.0.resnets": "layers_per_block",
    },
    {"use_quant_conv": "quant_conv.weight", "use_post_quant_conv": "post_quant_conv.weight"},
)
_TWO_STREAMS = Sizes(
    {
        "x_embedder.weight": f"{_WIDTH} in_channels",
        "context_embedder.weight": f"{_WIDTH} joint_attention_dim",
        "transformer_blocks.0.attn.norm_q.weight": "attention_head_dim",
        "proj_out.weight": f"patch_size*patch_size*out_channels {_WIDTH}",
    },
    {"transformer_blocks": "num_layers", "single_transformer_blocks": "num_single_layers"},
)

SIZES: Mapping[str, Sizes] = {
    "AutoencoderDC": Sizes(
        {
            "encoder.conv_in.weight": "encoder_block_out_channels[0] in_channels 3 3",
            "encoder.conv_out.weight": "latent_channels encoder_block_out_channels[-1] 3 3",
            "decoder.conv_in.weight": "decoder_block_out_channels[-1] latent_channels 3 3",
        },
        {"encoder.down_blocks": "#encoder_block_out_channels", "decoder.up_blocks": "#decoder_block_out_channels"},
    ),
    "AutoencoderKL": _AUTOENCODER,
    "AutoencoderKLFlux2": _AUTOENCODER | Sizes({"bn.running_mean": "latent_channels*patch_size[0]*patch_size[1]"}),
    "AutoencoderKLQwenImage": Sizes(
        {
            "encoder.conv_in.weight": "base_dim*dim_mult[0] input_channels 3 3 3",
            "decoder.conv_in.weight": "base_dim*dim_mult[-1] z_dim 3 3 3",
        }
    ),
    "AutoencoderTiny": Sizes(
        {
            "encoder.layers.0.weight": "encoder_block_out_channels[0] in_channels 3 3",
            "decoder.layers.1.weight": "decoder_block_out_channels[0] latent_channels 3 3",
        }
    ),
    "CLIPTextModel": _CLIP_TEXT,
    "CLIPTextModelWithProjection": _CLIP_TEXT | Sizes({"text_projection.weight": "projection_dim hidden_size"}),
    "CLIPVisionModelWithProjection": _VISION,
    "ChromaTransformer2DModel": _TWO_STREAMS
    | Sizes(
        {"distilled_guidance_layer.in_proj.weight": "approximator_hidden_dim approximator_num_channels"},
        {"distilled_guidance_layer.layers": "approximator_layers"},
    ),
    "ErnieImageTransformer2DModel": Sizes(
        {
            "x_embedder.proj.weight": "hidden_size in_channels patch_size patch_size",
            "text_proj.weight": "hidden_size text_in_dim",
            "layers.0.self_attention.norm_q.weight": "hidden_size/num_attention_heads",
            "layers.0.mlp.linear_fc2.weight": "hidden_size ffn_hidden_size",
            "final_linear.weight": "patch_size*patch_size*out_channels hidden_size",
        },
        {"layers": "num_layers"},
    ),
    "Flux2Transformer2DModel": _TWO_STREAMS
    | Sizes(
        {
            "time_guidance_embed.timestep_embedder.linear_1.weight": f"{_WIDTH} timestep_guidance_channels",
            "transformer_blocks.0.ff.linear_out.weight": f"{_WIDTH} {_WIDTH}*mlp_ratio",
        },
        switches={"guidance_embeds": "time_guidance_embed.guidance_embedder.linear_1.weight"},
    ),
    "FluxTransformer2DModel": _TWO_STREAMS
    | Sizes(
        {"time_text_embed.text_embedder.linear_1.weight": f"{_WIDTH} pooled_projection_dim"},
        switches={"guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight"},
    ),
    "Gemma2Model": _DECODER,
    "Lumina2Transformer2DModel": Sizes(
        {
            "x_embedder.weight": "hidden_size patch_size*patch_size*in_channels",
            "time_caption_embed.caption_embedder.0.weight": "cap_feat_dim",
            "layers.0.attn.norm_q.weight": "hidden_size/num_attention_heads",
            "layers.0.attn.to_k.weight": "hidden_size*num_kv_heads/num_attention_heads hidden_size",
        },
        {"layers": "num_layers", "noise_refiner": "num_refiner_layers", "context_refiner": "num_refiner_layers"},
    ),
    "Ministral3ForCausalLM": _DECODER,
    "Mistral3ForConditionalGeneration": _MISTRAL,
    "Mistral3Model": _MISTRAL,
    "OvisImageTransformer2DModel": _TWO_STREAMS,
    "Qwen2_5_VLForConditionalGeneration": _DECODER,
    "Qwen3ForCausalLM": _DECODER,
    "Qwen3Model": _DECODER,
    "QwenImageTransformer2DModel": Sizes(
        {
            "img_in.weight": f"{_WIDTH} in_channels",
            "txt_in.weight": f"{_WIDTH} joint_attention_dim",
            "transformer_blocks.0.attn.norm_q.weight": "attention_head_dim",
            "proj_out.weight": f"patch_size*patch_size*out_channels {_WIDTH}",
        },
        {"transformer_blocks": "num_layers"},
    ),
    "SD3Transformer2DModel": Sizes(
        {
            "pos_embed.proj.weight": f"{_WIDTH} in_channels patch_size patch_size",
            "pos_embed.pos_embed": f"1 pos_embed_max_size*pos_embed_max_size {_WIDTH}",
            "context_embedder.weight": "caption_projection_dim joint_attention_dim",
            "time_text_embed.text_embedder.linear_1.weight": f"{_WIDTH} pooled_projection_dim",
            "proj_out.weight": f"patch_size*patch_size*out_channels {_WIDTH}",
        },
        {"transformer_blocks": "num_layers"},
    ),
    "SanaTransformer2DModel": Sizes(
        {
            "patch_embed.proj.weight": f"{_WIDTH} in_channels patch_size patch_size",
            "caption_projection.linear_1.weight": f"{_WIDTH} caption_channels",
            "transformer_blocks.0.attn2.to_q.weight": f"num_cross_attention_heads*cross_attention_head_dim {_WIDTH}",
            "transformer_blocks.0.attn2.to_k.weight": "_ cross_attention_dim",
            "transformer_blocks.0.ff.conv_point.weight": f"{_WIDTH} {_WIDTH}*mlp_ratio 1 1",
            "proj_out.weight": f"patch_size*patch_size*out_channels {_WIDTH}",
        },
        {"transformer_blocks": "num_layers"},
    ),
    "SiglipVisionModel": _VISION,
    "T5EncoderModel": Sizes(
        {
            "shared.weight": "vocab_size d_model",
            "encoder.embed_tokens.weight": "vocab_size d_model",
            "encoder.block.0.layer.0.SelfAttention.q.weight": "num_heads*d_kv d_model",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (
                "relative_attention_num_buckets num_heads"
            ),
            "encoder.block.0.layer.1.DenseReluDense.wo.weight": "d_model d_ff",
        },
        {"encoder.block": "num_layers"},
        {
            "is_gated_act": "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
            "!is_gated_act": "encoder.block.0.layer.1.DenseReluDense.wi.weight",
        },
    ),
    "UNet2DConditionModel": Sizes(
        {
            "conv_in.weight": "block_out_channels[0] in_channels conv_in_kernel conv_in_kernel",
            "conv_out.weight": "out_channels block_out_channels[0] conv_out_kernel conv_out_kernel",
            "mid_block.resnets.0.conv1.weight": "block_out_channels[-1] block_out_channels[-1] 3 3",
            "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": "_ cross_attention_dim",
            "time_embedding.cond_proj.weight": "_ time_cond_proj_dim",
            "add_embedding.linear_1.weight": "_ projection_class_embeddings_input_dim",
        },
        {
            "down_blocks": "#block_out_channels #down_block_types",
            "up_blocks": "#block_out_channels #up_block_types",
            "down_blocks.0.resnets": "layers_per_block",
        },
    ),
    "ZImageTransformer2DModel": Sizes(
        {
            "layers.0.attention.to_q.weight": "dim dim",
            "layers.0.attention.norm_q.weight": "dim/n_heads",
            "cap_embedder.0.weight": "cap_feat_dim",
        },
        {"layers": "n_layers", "noise_refiner": "n_refiner_layers", "context_refiner": "n_refiner_layers"},
    ),
}
