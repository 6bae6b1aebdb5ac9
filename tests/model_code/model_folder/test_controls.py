"""ControlNet files: which are accepted for a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_folder import ModelFolderError, check_folder
from model_folder.extras import EXTRAS, read_extra
from tests.model_code import tiny
from tests.model_code.control_files import write_control
from tests.model_files import tensors

PATH = "controls/edges.safetensors"
Change = Callable[[dict[str, torch.Tensor]], Any]


@pytest.fixture(scope="module", params=[tiny.stable_diffusion, tiny.stable_diffusion_xl], ids=["1.5", "xl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the ControlNet `edges`."""
    folder = tmp_path_factory.mktemp("model")
    pipeline = request.param()
    pipeline.save_pretrained(folder)
    write_control(pipeline.unet, folder / PATH)
    return folder


def refusal(model: Path, change: Change) -> ModelFolderError:
    """Return why the changed ControlNet is refused. The file is as before afterwards."""
    before = (model / PATH).read_bytes()
    weights = load_file(model / PATH)
    change(weights)
    save_file(weights, model / PATH)
    try:
        with pytest.raises(ModelFolderError) as caught:
            check_folder(model, extras=[PATH])
    finally:
        (model / PATH).write_bytes(before)
    assert caught.value.message.startswith(PATH)
    return caught.value


def test_what_diffusers_saves_is_accepted(model: Path) -> None:
    assert check_folder(model, extras=[PATH]).extras == (PATH,)
    assert PATH in check_folder(model, extras=None).files
    assert PATH not in check_folder(model).files


def shrink(name: str) -> Change:
    return lambda weights: weights.update({name: weights[name][:1].clone()})


def without(name: str) -> Change:
    return lambda weights: weights.pop(name)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (shrink("conv_in.weight"), "conv_in.weight has the shape [1, 4, 3, 3], which here is [8, 4, 3, 3]"),
        (shrink("controlnet_mid_block.weight"), "controlnet_mid_block.weight has the shape"),
        (without("controlnet_down_blocks.2.bias"), "it has no controlnet_down_blocks.2.bias"),
        (without("down_blocks.0.resnets.0.conv1.weight"), "it has no down_blocks.0.resnets.0.conv1.weight"),
        (lambda weights: weights.update({"up_blocks.0.a.weight": torch.zeros(1)}), "there is no up_blocks.0.a.weight"),
        (shrink("controlnet_cond_embedding.conv_out.weight"), "controlnet_cond_embedding.conv_out.weight"),
        (without("controlnet_cond_embedding.blocks.5.weight"), "halved 2 times, but this model's latents are 3 times"),
        (lambda weights: weights.update({"conv_in.bias": torch.zeros(8, dtype=torch.int32)}), "dtype I32"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model: Path, change: Change, word: str) -> None:
    assert word in refusal(model, change).message


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("control_model.input_blocks.0.0.weight", "original layout"),
        ("task_embedding", "ControlNet Union"),
        ("controlnet_blocks.0.weight", "FLUX"),
        ("conv_in.weight", "Use a ControlNet of Stable Diffusion"),
    ],
)
def test_other_files_are_named(model: Path, name: str, word: str) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights.clear()
        weights[name] = torch.zeros(1)

    assert word in refusal(model, change).hint


def test_the_base_of_another_control_is_named(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion()
    pipeline.save_pretrained(tmp_path)
    other = tiny._unet(cross_attention_dim=768)
    write_control(other, tmp_path / PATH)
    with pytest.raises(ModelFolderError) as caught:
        check_folder(tmp_path, extras=[PATH])
    assert "attn2" in caught.value.message and "Stable Diffusion 1.x" in caught.value.hint


def test_a_pipeline_that_takes_none_is_named(tmp_path: Path) -> None:
    from tests.model_code import every_pipeline

    every_pipeline.PIPELINES["FluxPipeline"]().save_pretrained(tmp_path)
    (tmp_path / "controls").mkdir()
    (tmp_path / PATH).write_bytes(tensors({"a": (1,)}))
    with pytest.raises(ModelFolderError, match="FluxPipeline takes no ControlNets"):
        check_folder(tmp_path, extras=[PATH])


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_is_bounded(more: int) -> None:
    files = SimpleNamespace(sizes={PATH: EXTRAS["controls"].max_bytes + more}, read=lambda *_: b"")
    with pytest.raises(ModelFolderError) as caught:
        read_extra(files, PATH)
    assert ("too large" in caught.value.message) is bool(more)


def test_damaged_and_foreign_files_are_refused(model: Path) -> None:
    content = (model / PATH).read_bytes()
    (model / PATH).write_bytes(content[:-1])
    with pytest.raises(ModelFolderError, match="damaged or truncated"):
        check_folder(model, extras=[PATH])
    (model / PATH).write_bytes(content)
    (model / "controls/notes.txt").write_text("a")
    with pytest.raises(ModelFolderError, match=r"controls/notes\.txt is not a ControlNet"):
        check_folder(model, extras=None)
    (model / "controls/notes.txt").unlink()
