"""Which files of a repository belong to one variant of a pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_folder import ModelFolderError, parse_index, select_files

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": [None, None],
    "unet": ["diffusers", "UNet2DConditionModel"],
}
SCHEDULER = "scheduler/scheduler_config.json"
SHARD_INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


def select(names: list[str], variant: str = "", **contents: Any) -> list[str]:
    """Select with one variant for all components. `contents` has JSON files by the first word of their names."""

    def read(path: str) -> bytes:
        return json.dumps(contents[Path(path).name.partition(".")[0]]).encode()

    index = parse_index(json.dumps(INDEX).encode())
    return select_files(names, index, dict.fromkeys(index.component_names, variant), read)


@pytest.mark.parametrize(
    "shards",
    [
        ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"],
        ["diffusion_pytorch_model.fp16-00001-of-00002.safetensors"],
        ["diffusion_pytorch_model-00001-of-00002.fp16.safetensors"],
    ],
)
@pytest.mark.parametrize("form", ["{}.safetensors.index.json", "{}.safetensors.index.fp16.json",
                                  "{}.safetensors.fp16.index.json", "{}.fp16.safetensors.index.json"])  # fmt: skip
def test_the_shards_of_a_component_are_those_that_its_index_names(shards: list[str], form: str) -> None:
    index = "unet/" + form.format("diffusion_pytorch_model")
    variant = "fp16" if "fp16" in index else ""
    content = {"weight_map": {str(number): shard for number, shard in enumerate(shards)}}
    paths = [f"unet/{shard}" for shard in shards]
    names = [SCHEDULER, "unet/config.json", "unet/diffusion_pytorch_model-00003-of-00003.safetensors", index, *paths]
    selected = select(names, variant, diffusion_pytorch_model=content)
    assert selected == sorted(["model_index.json", SCHEDULER, "unet/config.json", index, *paths])


@pytest.mark.parametrize("shard", ["diffusion_pytorch_model-00001-of-00001.safetensors", "../../jobs/x"])
def test_an_index_names_existing_safetensors_of_its_folder(shard: str) -> None:
    """The first shard is missing; the second is not the name of a weight file."""
    with pytest.raises(ModelFolderError, match=shard if shard.startswith("diff") else SHARD_INDEX):
        select([SCHEDULER, SHARD_INDEX], diffusion_pytorch_model={"weight_map": {"a": shard}})


def test_a_component_without_the_variant_gives_its_plain_weights() -> None:
    names = [SCHEDULER, "unet/diffusion_pytorch_model.safetensors"]
    assert names[1] in select(names, variant="fp16")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("unet/diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin"),
        ("unet/diffusion_pytorch_model.fp16.safetensors", "fp16"),
        ("unet/config.json", "unet"),
        ("unet/a\\b", "a\\\\b"),
        ("../x", "../x"),
        ("unet/" + "n" * 256, "nnn"),
    ],
    ids=["pickle", "another variant", "no weights", "backslash", "parent folder", "long name"],
)
def test_missing_weights_and_bad_paths_are_named(name: str, named: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        select([SCHEDULER, name])
    assert named in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "EvilPipeline"},
        {"_class_name": ["StableDiffusionPipeline"]},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "EvilModel"]},
        {"unet": ["diffusers", ["UNet2DConditionModel"]]},
        {"unet": ["diffusers"]},
        {"a/b": ["diffusers", "UNet2DConditionModel"]},
    ],
)
def test_unknown_classes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFolderError):
        parse_index(json.dumps({**INDEX, **changes}).encode())


def test_null_components_are_unused() -> None:
    index = parse_index(json.dumps(INDEX).encode())
    assert index.component_names == ["scheduler", "unet"]
    assert index.unused == {"text_encoder"}
