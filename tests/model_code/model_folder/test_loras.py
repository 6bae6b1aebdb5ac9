"""LoRA files: which are accepted for a model, and for which base they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import inference
from contract import EaselError
from model_folder import (
    LocalFiles,
    ModelFolderError,
    Modules,
    check_digests,
    check_folder,
    check_lora,
    lora_base,
    read_header,
    select_local_files,
)
from model_folder.extras import EXTRAS
from model_folder.safetensors_header import Header, Tensor
from tests.model_files import UNET, UNET_OF_LORA, lora, stable_diffusion, tensors

Shapes = Mapping[str, tuple[int, ...]]
MOST = EXTRAS["loras"].max_bytes
DOWN, UP = "lora_unet_conv_in.lora_down.weight", "lora_unet_conv_in.lora_up.weight"
FITS: dict[str, tuple[int, ...]] = {DOWN: (2, 4, 3, 3), UP: (8, 2, 1, 1)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder whose UNet has one layer, with the LoRA `a`."""
    for name, content in {**stable_diffusion(), UNET: tensors(UNET_OF_LORA), "loras/a.safetensors": lora()}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def header_of(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Header:
    return Header({name: Tensor("F32", shape, 0, 0) for name, shape in shapes.items()}, metadata or {})


def refusal(folder: Path, content: bytes) -> ModelFolderError:
    (folder / "loras/a.safetensors").write_bytes(content)
    with pytest.raises(ModelFolderError) as caught:
        check_folder(folder, extras=["loras/a.safetensors"])
    return caught.value


def test_a_lora_belongs_to_the_files_if_the_entry_has_it(folder: Path) -> None:
    path, digest = "loras/a.safetensors", hashlib.sha256(lora()).hexdigest()
    assert path in select_local_files(folder, extras={path: digest})
    assert path not in select_local_files(folder)
    assert check_folder(folder, extras=None).extras == (path,)
    assert check_folder(folder).extras == ()


def test_another_digest_is_refused(folder: Path) -> None:
    with pytest.raises(ModelFolderError, match=hashlib.sha256(lora()).hexdigest()):
        select_local_files(folder, extras={"loras/a.safetensors": "0" * 64})
    with pytest.raises(ModelFolderError, match="missing"):
        select_local_files(folder, extras={"loras/b.safetensors": "0" * 64})
    with pytest.raises(ModelFolderError, match="cannot be read"):
        check_digests(folder, {"loras/b.safetensors": "0" * 64})


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        ({**FITS, DOWN: (2, 320, 3, 3)}, "changes a layer of 8x320, which here has 8x4"),
        ({**FITS, DOWN: (2, 4, 1, 1)}, "changes a layer"),
        ({**FITS, UP: (320, 2, 1, 1)}, "changes a layer of 320x4"),
        ({**FITS, UP: (8, 3, 1, 1)}, "matrices of the shapes"),
        ({**FITS, UP: (8, 2, 3, 3)}, "matrices of the shapes"),
        ({**FITS, UP: (8,)}, "matrices of the shapes"),
        ({**FITS, "lora_unet_conv_in.alpha": (2,)}, "matrices of the shapes"),
        ({DOWN: FITS[DOWN]}, "no up matrix for lora_unet_conv_in"),
        ({"lora_unet_conv_in.alpha": ()}, "no up matrix"),
        ({**FITS, "lora_unet_other.lora_down.weight": (2, 4), "lora_unet_other.lora_up.weight": (8, 2)},
         "no layer lora_unet_other"),
        ({**FITS, "lora_te2_a.lora_down.weight": (2, 4), "lora_te2_a.lora_up.weight": (8, 2)}, "no layer lora_te2_a"),
        ({**FITS, "lora_unet_conv_in.dora_scale": (8, 1)}, "lora_unet_conv_in.dora_scale"),
        ({"lora_unet_conv_in.hada_w1_a": (8, 2)}, "lora_unet_conv_in.hada_w1_a"),
        ({"conv_in.weight": (8, 4, 3, 3), "conv_in.bias": (8,)}, "conv_in.bias, conv_in.weight"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(folder: Path, shapes: Shapes, word: str) -> None:
    error = refusal(folder, tensors(shapes))
    assert word in error.message and "loras/a.safetensors" in error.message


def test_a_quantised_lora_is_refused(folder: Path) -> None:
    error = refusal(folder, tensors(FITS).replace(b'"F32"', b'"I32"'))
    assert "dtype I32" in error.message


def test_other_adapters_are_named(folder: Path) -> None:
    assert "DoRA" in refusal(folder, tensors({**FITS, "lora_unet_conv_in.dora_scale": (8, 1)})).hint
    assert "LoKr" in refusal(folder, tensors({"lora_unet_conv_in.lokr_w1": (8, 1)})).hint


@pytest.mark.parametrize("content", [b"", lora()[:-1], lora() + b"x", b"\x80\x02}q\x00.", lora()[:100]])
def test_a_damaged_file_is_refused(folder: Path, content: bytes) -> None:
    assert "damaged or truncated" in refusal(folder, content).message


def _file(header: Any, size: int = 0) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _tensor(shape: Any, offsets: Any, size: int = 0, dtype: Any = "U8") -> bytes:
    return _file({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, size)


@pytest.mark.parametrize(
    "content",
    [
        _file([]), _file([1]), _file(7), _file({"a": 7}), _tensor([1], [0.0, 1.0], 1), _tensor([1.0], [0, 1], 1),
        _tensor([-1, -1], [0, 1], 1), _tensor([True], [0, 1], 1), _tensor([1], [False, True], 1),
        _tensor([1], [0, 1], 1, ["U8"]), _tensor([1], [0, 1, 2], 1), _tensor({}, [0, 1, 2], 1),
        _tensor([1] * 11, [0, 1], 1), _tensor([2**48, 0], [0, 0]), _tensor([2**48 - 1] * 900_000, [0, 1], 1),
    ],
)  # fmt: skip
def test_a_crafted_header_is_refused(folder: Path, content: bytes) -> None:
    assert "damaged or truncated" in refusal(folder, content).message


def test_the_bounds_of_a_header(folder: Path) -> None:
    for content in (_tensor([1] * 10, [0, 1], 1), _tensor([2**48 - 1, 0], [0, 0])):
        assert "not of a LoRA" in refusal(folder, content).message


def test_a_pickled_file_is_refused(folder: Path) -> None:
    (folder / "loras/b.pt").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ModelFolderError, match=r"loras/b\.pt"):
        check_folder(folder, extras=["loras/a.safetensors"])


@pytest.mark.parametrize(("size", "accepted"), [(MOST, True), (MOST + 1, False)])
def test_the_size_is_bounded(size: int, accepted: bool, folder: Path) -> None:
    class Sized(LocalFiles):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self.sizes["loras/a.safetensors"] = size

    with pytest.raises(ModelFolderError) as caught:
        check_lora(Sized(folder), "loras/a.safetensors", Modules({"unet": UNET_OF_LORA}))
    assert ("too large" in caught.value.message) is not accepted


def test_the_container_refuses_a_folder_with_such_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    (folder / "loras/a.safetensors").write_bytes(tensors({**FITS, DOWN: (2, 320, 3, 3)}))
    error = inference.model_fn(str(folder))
    assert isinstance(error, EaselError) and error.code == "config_error"
    assert "loras/a.safetensors does not fit this model" in error.message
    shutil.rmtree(folder / "loras")
    assert "loras" not in str(inference.model_fn(str(folder)))


def test_diffusers_metadata_is_read() -> None:
    from model_folder.loras import read_layers

    shapes = {"unet.conv_in.lora_A.weight": (4, 4, 3, 3), "unet.conv_in.lora_B.weight": (8, 4, 1, 1)}

    def factor(**config: Any) -> float:
        metadata = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in config.items()})}
        (layer,) = read_layers("a", header_of(shapes, metadata))
        return layer.default_factor

    assert factor() == factor(r=4) == 1
    assert factor(r=4, lora_alpha=8, alpha_pattern={}) == 2
    assert factor(r=4, lora_alpha=8, use_rslora=True) == 4
    for key in ("alpha_pattern", "use_dora", "lora_bias"):
        with pytest.raises(ModelFolderError, match=key):
            factor(r=4, lora_alpha=8, **{key: {"a": 1}})


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("\ud800", True),
        ('{"unet.r": 1, "unet.lora_alpha": 1048576}', True),
        ('{"unet.r": 1, "unet.lora_alpha": 1048577}', False),
        ('{"unet.r": 1048577, "unet.lora_alpha": 1}', False),
        ('{"unet.r": 1, "unet.lora_alpha": NaN}', False),
        ('{"unet.r": 1, "unet.lora_alpha": 1e999}', False),
        (f'{{"unet.r": 1, "unet.lora_alpha": 1{"0" * 400}}}', False),
        (f'{{"unet.r": 1{"0" * 400}, "unet.lora_alpha": 1}}', False),
    ],
)
def test_crafted_metadata(folder: Path, text: str, accepted: bool) -> None:
    shapes = {"unet.conv_in.lora_A.weight": (2, 4, 3, 3), "unet.conv_in.lora_B.weight": (8, 2, 1, 1)}
    (folder / "loras/a.safetensors").write_bytes(tensors(shapes, {"lora_adapter_metadata": text}))
    if accepted:
        check_folder(folder, extras=["loras/a.safetensors"])
    else:
        with pytest.raises(ModelFolderError, match="an alpha or a rank for unet"):
            check_folder(folder, extras=["loras/a.safetensors"])


@pytest.mark.parametrize("layer", ["lora_unet_input_blocks_{}_0_a", "transformer_blocks.{}.attn.a"])
def test_numbers_of_layers_are_bounded(folder: Path, layer: str) -> None:
    name = layer.format("1" * 5000)
    shapes = {f"{name}.lora_down.weight": (2, 4), f"{name}.lora_up.weight": (8, 2)}
    assert "no layer" in refusal(folder, tensors(shapes)).message
    assert isinstance(lora_base(header_of(shapes)), str)
    weights = {f"down_blocks.0.resnets.{'1' * 5000}.conv1.weight": (8, 8, 3, 3)}
    assert Modules({"unet": weights}).find("lora_unet_conv_in") == []


@pytest.mark.parametrize("before", ["", "text_model."])
def test_text_encoders_of_any_version_of_transformers(before: str) -> None:
    """5.23 removed the prefix from the model's names; files may have it or not."""
    layer = "encoder.layers.0.mlp.fc1"
    modules = Modules({"unet": {}, "text_encoder": {f"{before}{layer}.weight": (9, 4)}})
    flat = f"lora_te_text_model_{layer.replace('.', '_')}"
    for name in (flat, f"text_encoder.text_model.{layer}", f"text_encoder.{layer}"):
        (target,) = modules.find(name)
        assert (target.part, target.module) == ("text_encoder", f"{before}{layer}")


def test_a_joined_layer_changes_several_of_the_model() -> None:
    block = "single_transformer_blocks.0"
    names = (f"{block}.attn.to_q", f"{block}.attn.to_k", f"{block}.attn.to_v", f"{block}.proj_mlp")
    modules = Modules({"transformer": {f"{name}.weight": (128 if "mlp" in name else 32, 32) for name in names}})
    for name in ("lora_unet_single_blocks_0_linear1", "diffusion_model.single_blocks.0.linear1"):
        found = [(target.module, target.first, target.end) for target in modules.find(name)]
        assert found == [(names[0], 0, 32), (names[1], 32, 64), (names[2], 64, 96), (names[3], 96, 224)]
    attention = {f"layers.3.attention.{name}.weight": (32, 32) for name in ("to_q", "to_k", "to_v", "to_out.0")}
    z_image = Modules({"transformer": attention})
    joined = z_image.find("diffusion_model.layers.3.attention.qkv")
    assert [target.module[-4:] for target in joined] == ["to_q", "to_k", "to_v"]
    assert [target.module for target in z_image.find("lora_unet_layers_3_attention_out")] == [
        "layers.3.attention.to_out.0"
    ]


def layers(names: list[str], inputs: int, suffixes: tuple[str, str] = ("lora_down", "lora_up")) -> Shapes:
    down, up = suffixes
    return {f"{name}.{down}.weight": (4, inputs) for name in names} | {f"{name}.{up}.weight": (9, 4) for name in names}


PEFT = ("lora_A", "lora_B")


@pytest.mark.parametrize(
    ("shapes", "base"),
    [
        (layers(["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"], 768), "sd-1"),
        (layers(["unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"], 1024, PEFT), "sd-2"),
        (layers(["lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v"], 2048), "sdxl"),
        (layers(["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"], 128, PEFT), "unet-128"),
        (layers(["unet.conv_in"], 4, PEFT), "unknown"),
        (layers(["lora_unet_double_blocks_0_img_attn_qkv"], 3072), "flux"),
        (layers(["transformer.single_transformer_blocks.0.attn.to_q"], 3072, PEFT), "flux"),
        (layers(["transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj"], 3072, PEFT), "flux-2"),
        (layers(["transformer.transformer_blocks.0.img_mlp.net.2"], 3072, PEFT), "qwen-image"),
        (layers(["transformer_blocks.59.attn.to_q"], 3072), "qwen-image"),
        (layers(["diffusion_model.layers.0.attention.qkv"], 3840, PEFT), "z-image"),
        (layers(["lora_unet_joint_blocks_0_x_block_attn_qkv"], 1536), "sd-3"),
    ],
)
def test_the_base_of_a_lora(shapes: Shapes, base: str) -> None:
    assert lora_base(header_of(shapes)) == base


def test_a_checkpoint_has_no_base(folder: Path) -> None:
    with pytest.raises(ModelFolderError):
        lora_base(read_header(LocalFiles(folder), UNET))
