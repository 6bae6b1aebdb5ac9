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
from tests.model_code import every_pipeline, tiny
from tests.model_code.control_files import STABILITY, write_control
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


def setting(name: str, tensor: torch.Tensor) -> Change:
    return lambda weights: weights.update({name: tensor})


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
        ("controlnet_blocks.0.weight", "another transformer"),
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


# --- transformers --------------------------------------------------------------------------------

TRANSFORMERS = {
    "FluxPipeline": "FLUX.1",
    "QwenImagePipeline": "Qwen-Image",
    "SanaPipeline": "Sana",
    "StableDiffusion3Pipeline": "Stable Diffusion 3",
    "ZImagePipeline": "Z-Image",
}


TWO_BLOCKS = ("SanaPipeline", "StableDiffusion3Pipeline")
"""Those whose transformer has two blocks here; the others have one."""


@pytest.fixture(scope="module", params=TRANSFORMERS)
def transformer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the ControlNet `edges`."""
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    pipeline = every_pipeline.PIPELINES[request.param]()
    pipeline.save_pretrained(folder)
    all_blocks = {"num_layers": 2} if request.param in TWO_BLOCKS else {}
    write_control(pipeline.transformer, folder / PATH, **all_blocks)
    return folder


def test_what_diffusers_saves_for_a_transformer_is_accepted(transformer: Path) -> None:
    assert check_folder(transformer, extras=[PATH]).extras == (PATH,)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("FluxPipeline", {"num_single_layers": 1}),
        ("FluxPipeline", {"guidance_embeds": False}),
        ("StableDiffusion3Pipeline", STABILITY),
        ("ZImagePipeline", {"add_control_noise_refiner": None, "control_in_dim": 16}),
        ("ZImagePipeline", {"add_control_noise_refiner": "control_layers"}),
    ],
)
def test_all_kinds_of_a_transformer_are_accepted(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    pipeline = every_pipeline.PIPELINES[family]()
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / PATH, **changes)
    assert check_folder(tmp_path, extras=[PATH]).extras == (PATH,)


NAMES = {
    "FluxPipeline": ("transformer_blocks.0.attn.to_q.weight", "context_embedder.bias", "controlnet_blocks.0.weight"),
    "QwenImagePipeline": ("transformer_blocks.0.attn.to_q.weight", "txt_in.bias", "controlnet_blocks.0.weight"),
    "SanaPipeline": ("transformer_blocks.0.attn1.to_q.weight", "patch_embed.proj.bias", "controlnet_blocks.0.weight"),
    "StableDiffusion3Pipeline": (
        "transformer_blocks.0.ff_context.net.2.weight",
        "pos_embed.proj.bias",
        "controlnet_blocks.0.weight",
    ),
    "ZImagePipeline": (
        "control_layers.0.attention.to_q.weight",
        "control_all_x_embedder.2-1.bias",
        "control_layers.0.after_proj.weight",
    ),
}
"""A tensor of a copied block, and two of other layers."""


def test_tensors_of_a_transformer_that_do_not_fit_are_named(transformer: Path) -> None:
    names = NAMES[transformer.name]
    for name in names:
        assert f"{name} has the shape" in refusal(transformer, shrink(name)).message
        assert f"it has no {name}" in refusal(transformer, without(name)).message
        integers = load_file(transformer / PATH)[name].int()
        assert "dtype I32" in refusal(transformer, setting(name, integers)).message
    count = 2 if transformer.name in TWO_BLOCKS else 1
    for other in (names[0].replace(".0.", f".{count}.", 1), "other.weight"):
        error = refusal(transformer, setting(other, torch.zeros(32, 32)))
        assert f"there is no {other}" in error.message
        assert f"It is for {TRANSFORMERS[transformer.name]}." in error.hint


@pytest.mark.parametrize(
    ("family", "name", "word"),
    [
        ("FluxPipeline", "controlnet_mode_embedder.weight", "union"),
        ("FluxPipeline", "input_hint_block.conv_in.weight", "XLabs"),
        ("FluxPipeline", "controlnet_x_embedder.weight", "for inpainting"),
        ("QwenImagePipeline", "controlnet_x_embedder.weight", "for inpainting"),
        ("StableDiffusion3Pipeline", "pos_embed_input.proj.weight", "for inpainting"),
        ("StableDiffusion3Pipeline", "transformer_blocks.0.attn.qkv.weight", "original layout"),
    ],
)
def test_kinds_that_are_not_used_are_named(tmp_path: Path, family: str, name: str, word: str) -> None:
    pipeline = every_pipeline.PIPELINES[family]()
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / PATH)
    assert word in refusal(tmp_path, lambda weights: weights.update({name: torch.zeros(32, 20)})).hint


def test_the_blocks_of_stable_diffusion_3_5_medium_differ(tmp_path: Path) -> None:
    twice: dict[str, Any] = {"dual_attention_layers": (0,), "qk_norm": "rms_norm"}
    pipeline = every_pipeline.stable_diffusion_3(num_layers=3, **twice)
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / PATH, num_layers=2)
    assert check_folder(tmp_path, extras=[PATH]).extras == (PATH,)
    for changes in (STABILITY, STABILITY | {"num_layers": 3}):
        write_control(pipeline.transformer, tmp_path / PATH, **changes)
        assert check_folder(tmp_path, extras=[PATH]).extras == (PATH,)
    for first, other in (
        (pipeline, every_pipeline.stable_diffusion_3()),
        (every_pipeline.stable_diffusion_3(), pipeline),
    ):
        first.save_pretrained(tmp_path)
        write_control(other.transformer, tmp_path / PATH)
        with pytest.raises(ModelFolderError, match=r"transformer_blocks\.0\.") as caught:
            check_folder(tmp_path, extras=[PATH])
        assert "It is for Stable Diffusion 3." in caught.value.hint


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The file of a ControlNet of each family of transformers."""
    found = {}
    for name in TRANSFORMERS:
        file = tmp_path_factory.mktemp("controls") / PATH
        write_control(every_pipeline.PIPELINES[name]().transformer, file)
        found[name] = file.read_bytes()
    return found


@pytest.mark.parametrize("other", TRANSFORMERS)
def test_a_control_for_another_family_is_named(
    model: Path, transformer: Path, other: str, controls: dict[str, bytes]
) -> None:
    for folder in {model, *([] if transformer.name == other else [transformer])}:
        kept = (folder / PATH).read_bytes()
        (folder / PATH).write_bytes(controls[other])
        with pytest.raises(ModelFolderError) as caught:
            check_folder(folder, extras=[PATH])
        (folder / PATH).write_bytes(kept)
        assert "does not fit this model" in caught.value.message
        assert f"It is for {TRANSFORMERS[other]}." in caught.value.hint


@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 2)])
def test_shapes_of_any_rank_are_refused(transformer: Path, shape: tuple[int, ...]) -> None:
    others = {
        "SanaPipeline": "input_block",
        "StableDiffusion3Pipeline": "pos_embed_input.proj",
        "ZImagePipeline": "control_all_x_embedder.2-1",
    }
    image = f"{others.get(transformer.name, 'controlnet_x_embedder')}.weight"
    assert image in refusal(transformer, lambda weights: weights.update({image: torch.zeros(shape)})).message


def test_a_pipeline_that_takes_none_is_named(tmp_path: Path) -> None:
    every_pipeline.PIPELINES["Lumina2Pipeline"]().save_pretrained(tmp_path)
    (tmp_path / "controls").mkdir()
    (tmp_path / PATH).write_bytes(tensors({"a": (1,)}))
    with pytest.raises(ModelFolderError, match="Lumina2Pipeline takes no ControlNets"):
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
