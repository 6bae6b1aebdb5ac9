"""Values of settings that no library loads, or with which none generates: refused by name."""

from typing import Any

import pytest

from model_folder import Component, ModelFolderError
from model_folder.values import check_values

UNET = {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 50],
    "attention_head_dim": 4,
}
CLIP = {"hidden_size": 32, "num_attention_heads": 4, "eos_token_id": 2, "layer_norm_eps": 1e-05}
GEMMA = {
    "query_pre_attn_scalar": 256,
    "final_logit_softcapping": 30.0,
    "head_dim": 12,
    **CLIP,
    "num_attention_heads": 3,
}


def check(library: str, name: str, settings: dict[str, Any]) -> None:
    check_values(Component("part", library, name), {"config.json": settings}, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attention_head_dim", 3),
        ("attention_head_dim", [4]),
        ("attention_head_dim", [3, 4]),
        ("num_attention_heads", 5),
        ("only_cross_attention", [True]),
        ("cross_attention_dim", [8, 8, 8]),
        ("layers_per_block", [1]),
        ("up_block_types", ["UpBlock2D"]),
        ("block_out_channels", [32]),
        ("class_embed_type", "timestep"),
        ("num_class_embeds", 10),
        ("encoder_hid_dim_type", "image_proj"),
        ("addition_embed_type", "image"),
        ("attention_type", "another"),
        ("cross_attention_norm", "batch_norm"),
        ("use_linear_projection", 1),
        ("resnet_out_scale_factor", 0),
    ],
)
def test_unet(field: str, value: Any) -> None:
    check("diffusers", "UNet2DConditionModel", UNET)
    with pytest.raises(ModelFolderError, match=field):
        check("diffusers", "UNet2DConditionModel", UNET | {field: value})


@pytest.mark.parametrize("value", [[4, 3], [8, 9], 8])
def test_heads_of_a_block_without_attention_do_not_matter(value: Any) -> None:
    check("diffusers", "UNet2DConditionModel", UNET | {"num_attention_heads": value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_attention_heads", 5),
        ("eos_token_id", None),
        ("eos_token_id", [2]),
        ("layer_norm_eps", 1),
        ("initializer_factor", 1),
        ("vision_config.num_attention_heads", 5),
        ("vision_config.initializer_range", 1),
        ("vision_config.rope_parameters.rope_theta", 0),
    ],
)
def test_clip(field: str, value: Any) -> None:
    settings: dict[str, Any] = CLIP | {"vision_config": {**CLIP, "rope_parameters": {"rope_theta": 1e4}}}
    check("transformers", "CLIPTextModel", settings)
    *parents, name = field.split(".")
    owner = settings
    for parent in parents:
        owner[parent] = dict(owner[parent])
        owner = owner[parent]
    owner[name] = value
    with pytest.raises(ModelFolderError, match=field):
        check("transformers", "CLIPTextModel", settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("query_pre_attn_scalar", 256.0),
        ("final_logit_softcapping", 30),
        ("use_bidirectional_attention", "no"),
        ("window_size", 1.5),
        ("fullatt_block_indexes", ["7"]),
        ("vision_feature_layer", None),
        ("image_token_id", None),
        ("head_dim", None),
        ("num_key_value_heads", None),
    ],
)
def test_language_model(field: str, value: Any) -> None:
    check("transformers", "Gemma2Model", GEMMA)
    with pytest.raises(ModelFolderError, match=field):
        check("transformers", "Gemma2Model", GEMMA | {field: value})


def test_a_size_that_no_setting_has() -> None:
    tensors = {"mid_block.resnets.0.conv1.weight": (50, 50, 5, 3)}
    with pytest.raises(ModelFolderError, match="with 5 for 3"):
        check_values(Component("part", "diffusers", "UNet2DConditionModel"), {"config.json": UNET}, tensors)
