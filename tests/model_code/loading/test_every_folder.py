"""Generated model folders: what the rule accepts loads and generates, what does not is refused by name."""

from pathlib import Path

import pytest

from model_folder import PIPELINES
from tests.model_code import every_pipeline, generated_folders
from tests.model_code.generated_folders import Case, all_cases, difference, weight_cases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_folders.save_pipelines(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)


def test_every_class_is_generated() -> None:
    assert every_pipeline.PIPELINES.keys() == PIPELINES.keys()


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_folder_is_accepted_exactly_if_it_generates(case: Case, pipelines: Path, tmp_path: Path) -> None:
    assert difference(case, pipelines, tmp_path) == ""


def test_every_variant_and_sharding_is_accepted(pipelines: Path, tmp_path: Path) -> None:
    found = {case.name: difference(case, pipelines, tmp_path, load=False) for case in weight_cases()}
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
