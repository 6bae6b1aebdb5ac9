"""Single-file checkpoints: the folder that they become, and those that are refused."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from model_importer.checkpoint import convert, identify
from model_importer.checkpoint.convert import native_side
from model_importer.checkpoint.layout import BASES
from model_importer.model_folder import Header, ModelFolderError, check_folder, read_header
from tests import checkpoints
from tests.checkpoints import Weights, original_layout, save_checkpoint
from tests.model_importer.example import write_files

MAKE = {
    "sd-1": checkpoints.stable_diffusion_1,
    "sd-2": checkpoints.stable_diffusion_2,
    "sdxl": checkpoints.stable_diffusion_xl,
}
NAME = "model.safetensors"
EMBEDDING = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
INPUT = "model.diffusion_model.input_blocks.0.0.weight"


@functools.cache
def example(base: str) -> tuple[Any, Weights]:
    pipeline = MAKE[base]()
    return pipeline, original_layout(pipeline, base)


class OneFile:
    """A checkpoint as the port of model folders reads it."""

    def __init__(self, path: Path) -> None:
        self.path, self.sizes = path, {path.name: path.stat().st_size}

    def read(self, path: str, first: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(first)
            return file.read(end - first)

    def header(self) -> Header:
        return read_header(self, self.path.name)


def converted(path: Path, folder: Path, prediction: Literal["epsilon"] | None = "epsilon") -> Path:
    file = OneFile(path)
    conversion = convert(file.header(), prediction)
    read = functools.partial(file.read, path.name)
    write_files(folder, {name: b"".join(conversion.content(name, read)) for name in conversion.files})
    assert {name: (folder / name).stat().st_size for name in conversion.files} == conversion.sizes
    return folder


def encoder_weights(file: Path) -> Weights:
    return {name.removeprefix("text_model."): tensor for name, tensor in load_file(file).items()}


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("base", MAKE)
def test_the_folder_has_the_weights_of_the_pipeline_bit_for_bit(base: str, tmp_path: Path) -> None:
    pipeline, weights = example(base)
    folder = converted(save_checkpoint(weights, tmp_path / NAME), tmp_path / "folder")

    check_folder(folder)
    for part in ("unet", "vae"):
        found = load_file(folder / part / "diffusion_pytorch_model.safetensors")
        assert_same(found, getattr(pipeline, part).state_dict())
        config = json.loads((folder / part / "config.json").read_bytes())
        expected = json.loads(json.dumps(dict(getattr(pipeline, part).config)))
        sides = {"sample_size", "scaling_factor", "upcast_attention", "_class_name"}
        assert {k: v for k, v in config.items() if v != expected.get(k)}.keys() <= sides
    for part in BASES[base].text_encoders:
        encoder = getattr(pipeline, part).state_dict()
        expected = {name.removeprefix("text_model."): tensor for name, tensor in encoder.items()}
        assert_same(encoder_weights(folder / part / "model.safetensors"), expected)


@pytest.mark.parametrize("base", MAKE)
def test_diffusers_own_conversion_gives_the_same(base: str, tmp_path: Path) -> None:
    """This proves the names: those that `tests/checkpoints.py` writes are those that diffusers reads."""
    from diffusers.loaders import single_file_utils as reference

    pipeline, weights = example(base)
    folder = converted(save_checkpoint(weights, tmp_path / NAME), tmp_path / "folder")
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert_same(unet, reference.convert_ldm_unet_checkpoint(dict(weights), dict(pipeline.unet.config)))
    assert_same(vae, reference.convert_ldm_vae_checkpoint(dict(weights), dict(pipeline.vae.config)))
    for part, prefix in BASES[base].text_encoders.items():
        found = encoder_weights(folder / part / "model.safetensors")
        model = SimpleNamespace(config=getattr(pipeline, part).config)
        if prefix.endswith(".model."):
            expected = reference.convert_open_clip_checkpoint(model, dict(weights), prefix)
            unused = f"text_model.encoder.layers.{model.config.num_hidden_layers}."  # diffusers drops layer 23 of 24
            expected = {k: v for k, v in expected.items() if not k.startswith(unused)}
            if base == "sd-2":
                expected.pop("text_projection.weight", None)
        else:
            expected = reference.convert_ldm_clip_checkpoint({k: v for k, v in weights.items() if k.startswith(prefix)})
            expected.pop("text_model.embeddings.position_ids")
        assert_same(found, {name.removeprefix("text_model."): tensor for name, tensor in expected.items()})


def test_the_tokenizer_is_clips(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    folder = converted(save_checkpoint(example("sdxl")[1], tmp_path / NAME), tmp_path / "folder")
    first, second = (CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2"))
    # Tokens that the documentation of CLIP and of its users shows.
    assert first("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (len(first), first.pad_token_id, second.pad_token_id, second.pad_token) == (49408, 49407, 0, "!")


def test_an_old_checkpoint_without_text_model_in_its_names(tmp_path: Path) -> None:
    old = {name.replace(".text_model.", "."): tensor for name, tensor in example("sd-1")[1].items()}
    folder = converted(save_checkpoint(old, tmp_path / NAME), tmp_path / "folder")
    assert (folder / "text_encoder" / "model.safetensors").is_file()


def test_weights_of_the_training_are_left_out(tmp_path: Path) -> None:
    more = {name: torch.zeros(2) for name in ("model_ema.decay", "betas", "first_stage_model.loss.logvar")}
    folder = converted(save_checkpoint(example("sd-1")[1] | more, tmp_path / NAME), tmp_path / "folder")
    assert_same(load_file(folder / "vae/diffusion_pytorch_model.safetensors"), example("sd-1")[0].vae.state_dict())


def layout(weights: Weights, path: Path, metadata: dict[str, str] | None = None) -> Header:
    return OneFile(save_checkpoint(weights, path / NAME, metadata)).header()


def test_what_the_model_predicts(tmp_path: Path) -> None:
    """Stable Diffusion 2 does not say it; SDXL models that predict velocity carry a mark."""
    mark = torch.ones(1)
    assert identify(layout(example("sd-1")[1], tmp_path)).prediction == "epsilon"
    assert (
        identify(layout(example("sd-1")[1], tmp_path, {"modelspec.prediction_type": "v"})).prediction == "v_prediction"
    )
    velocity = identify(layout(example("sdxl")[1] | {"v_pred": mark, "ztsnr": mark}, tmp_path))
    assert (velocity.prediction, velocity.zero_snr) == ("v_prediction", True)
    unknown = layout(example("sd-2")[1], tmp_path)
    with pytest.raises(ModelFolderError, match="noise or velocity"):
        convert(unknown)
    for prediction in ("epsilon", "v_prediction"):
        config = json.loads(convert(unknown, prediction).files["scheduler/scheduler_config.json"])  # type: ignore[arg-type]
        assert config["prediction_type"] == prediction
    assert [native_side(BASES["sd-2"], p) for p in ("epsilon", "v_prediction")] == [512, 768]


@pytest.mark.parametrize("base", ["sd-1", "sdxl"])
def test_a_checkpoint_for_inpainting_keeps_the_inputs_of_its_unet(base: str, tmp_path: Path) -> None:
    header = layout(example(base)[1] | {INPUT: torch.zeros(32, 9, 3, 3)}, tmp_path)
    assert identify(header).inpaints
    config = json.loads(convert(header).files["unet/config.json"])  # type: ignore[arg-type]
    assert (config["in_channels"], config["out_channels"]) == (9, 4)
    assert not identify(layout(example(base)[1], tmp_path)).inpaints


def without(start: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: tensor for name, tensor in weights.items() if not name.startswith(start)}


def with_(**tensors: torch.Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name.replace("__", "."): tensor for name, tensor in tensors.items()}


Change = Callable[[Weights], Weights]
REFUSED: dict[str, tuple[str, Change, str]] = {
    "editing": ("sd-1", lambda w: w | {INPUT: torch.zeros(32, 8, 3, 3)}, "InstructPix2Pix"),
    "no VAE": ("sd-1", without("first_stage_model."), "has no VAE"),
    "no text encoder": ("sd-1", lambda w: _with_width(without("cond_stage_model.")(w), 768), "1.x has no text encoder"),
    "no second text encoder": ("sdxl", without("conditioner.embedders.1."), "has no text encoder 2"),
    "refiner": ("sdxl", lambda w: {k.replace("embedders.1", "embedders.0"): v for k, v in w.items()}, "refiner"),
    "FLUX": ("sd-1", lambda w: {"double_blocks.0.img_attn.qkv.weight": torch.zeros(1)}, "FLUX"),
    "VAE alone": ("sd-1", lambda w: {"encoder.conv_in.weight": torch.zeros(1)}, "a VAE alone"),
    "Playground": ("sdxl", with_(edm_mean=torch.zeros(4)), "Playground"),
    "CosXL": ("sdxl", with_(edm_vpred__sigma_max=torch.zeros(1)), "CosXL"),
    "unknown tensor": ("sd-1", with_(model__diffusion_model__adapter__weight=torch.zeros(1)), "adapter.weight"),
    "integers": ("sd-1", lambda w: w | {"first_stage_model.quant_conv.bias": torch.zeros(8).int()}, "I32"),
    "a layer is missing": ("sdxl", without("model.diffusion_model.output_blocks.1.1.transformer_blocks.1."), "SSD-1B"),
    "wrong rank": ("sd-1", lambda w: w | {EMBEDDING: torch.zeros(3)}, "not whole"),
}  # fmt: skip


def _with_width(weights: Weights, width: int) -> Weights:
    return {k: torch.zeros(32, width) if k.endswith("attn2.to_k.weight") else v for k, v in weights.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str, tmp_path: Path) -> None:
    base, change, message = REFUSED[name]
    header = layout(change(example(base)[1]), tmp_path)
    with pytest.raises(ModelFolderError, match=message):
        convert(header, "epsilon")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(example("sd-1")[1], tmp_path / NAME)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFolderError, match="damaged or truncated"):
        OneFile(path).header()
