"""Generated model folders: what the rule accepts loads and generates, what does not is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from model_folder import COMPONENTS, PIPELINES, Component, ModelFolderError, check_folder, parse_index
from model_folder.classes import has_weights
from model_folder.values import check_values
from model_folder.values.fields import kinds_of
from model_folder.values.sizes import SIZES
from tests.model_code import every_pipeline, generated_folders
from tests.model_code.generated_folders import SHARDINGS, VARIANTS, Case, combined_cases, difference, weight_cases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_folders.save_pipelines(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)


def test_every_class_is_generated() -> None:
    assert every_pipeline.PIPELINES.keys() == PIPELINES.keys()


@pytest.mark.parametrize("case", combined_cases(), ids=lambda case: case.name)
def test_a_folder_is_accepted_exactly_if_it_generates(case: Case, pipelines: Path, tmp_path: Path) -> None:
    assert difference(case, pipelines, tmp_path) == ""


def test_every_variant_and_sharding_is_accepted(pipelines: Path, tmp_path: Path) -> None:
    """The cases above have each class with each variant and each sharding; these have all three factors."""
    cases = [case for case in weight_cases() if case.pipeline in ("FluxPipeline", "StableDiffusionXLPipeline")]
    assert len(cases) == 2 * len(VARIANTS) * len(SHARDINGS)
    found = {case.name: difference(case, pipelines, tmp_path, load=False) for case in cases}
    assert {name: text for name, text in found.items() if text} == {}


def test_shards_of_a_variant_as_the_libraries_save_them(tmp_path: Path) -> None:
    """Each library has its own names for the index and for the shards."""
    saved = generated_folders.save_pipelines(tmp_path / "saved", variant="fp16", max_shard_size="50KB")
    assert [*saved.glob("*/text_encoder/model.fp16-00001-of-*.safetensors")]
    cases = (Case(name, name, lambda at: None) for name in every_pipeline.PIPELINES)
    found = {case.name: difference(case, saved, tmp_path) for case in cases}
    assert {name: text for name, text in found.items() if text} == {}


def test_the_names_that_the_libraries_write_are_known(pipelines: Path) -> None:
    assert generated_folders.unknown_names(pipelines) == {}


@pytest.mark.parametrize("pipeline", every_pipeline.PIPELINES)
def test_a_field_of_a_wrong_kind_is_named(pipeline: str, pipelines: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pipelines / pipeline, tmp_path / "model"))
    wrong, tried = [], 0
    for part in parse_index((folder / "model_index.json").read_bytes()).components:
        for file in folder.glob(f"{part.name}/config.json") if part.class_name in SIZES else ():
            content = file.read_text()
            settings = json.loads(content)
            for field in kinds_of(part.library, part.class_name).keys() & settings.keys():
                file.write_text(json.dumps(settings | {field: {"a": 1}}))
                try:
                    check_folder(folder)
                except ModelFolderError as error:
                    named = f"{part.name}/config.json" in error.message and field in error.message
                else:
                    named = False
                wrong += [] if named else [f"{part.name}: {field}"]
                tried += 1
            file.write_text(content)
    assert wrong == []
    assert tried > 20


@pytest.mark.parametrize(
    ("pipeline", "other", "part", "field"),
    [
        ("ZImagePipeline", "FluxPipeline", "vae", "in_channels"),
        ("StableDiffusionXLPipeline", "StableDiffusionPipeline", "unet", "cross_attention_dim"),
        ("ChromaPipeline", "QwenImagePipeline", "vae", "vae"),
    ],
)
def test_a_part_of_another_model_is_refused(
    pipeline: str, other: str, part: str, field: str, pipelines: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(pipelines / pipeline, tmp_path / "model"))
    shutil.rmtree(folder / part)
    shutil.copytree(pipelines / other / part, folder / part)
    with pytest.raises(ModelFolderError, match=field):
        check_folder(folder)


def default_models() -> list[str]:
    return sorted(name for name in COMPONENTS["diffusers"] if has_weights(name) and name in SIZES)


@pytest.mark.parametrize("name", default_models())
def test_the_defaults_of_a_class_fit_its_tensors(name: str) -> None:
    """They are those of large models; their tensors have shapes but no content."""
    import diffusers

    with torch.device("meta"):
        model = getattr(diffusers, name)()
    tensors = {tensor: tuple(value.shape) for tensor, value in model.state_dict().items()}
    settings = json.loads(json.dumps(dict(model.config)))
    check_values(Component("part", "diffusers", name), {"config.json": settings}, tensors)
