"""The one typed reader of models/*.json, and what it says of an entry that cannot be released."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from contract import ModelProfile, parse_profile
from stacks.catalogue import CONTAINER_BYTES, FUNCTION_BYTES, PROFILE, CatalogueError, read_model
from tests.stacks.assembly import write_model


def test_the_profile_is_what_the_contract_reads(tmp_path: Path) -> None:
    model = read_model("tiny", write_model(tmp_path))
    assert parse_profile(model.profile).suggestions == ("a red apple",)
    assert parse_profile(model.container_profile).suggestions == ()
    assert set(json.loads(model.profile)) == set(PROFILE) - {"enlarges", "budget"}
    assert (model.id, model.folder) == ("tiny", tmp_path / "models" / "tiny")


def test_the_profile_has_the_fields_of_the_contract() -> None:
    assert tuple(field.name for field in fields(ModelProfile)) == PROFILE


def test_a_path_names_a_folder_with_its_entry_beside_it(tmp_path: Path) -> None:
    write_model(tmp_path)
    path = str(tmp_path / "models" / "tiny")
    assert read_model(path, Path("/nowhere")).folder == Path(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": None}, "lacks steps"),
        ({"source": {"kind": "hub", "repository": "a/b"}}, "only models with a folder"),
        ({"source": {"kind": "folder", "path": "models/gone"}}, "it has no model_index.json"),
        ({"licence": "x" * CONTAINER_BYTES}, "AWS takes 1024 in a variable"),
        ({"suggestions": ["x" * FUNCTION_BYTES]}, "AWS takes 3072 in a variable"),
    ],
)
def test_an_entry_that_cannot_be_released_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        read_model("tiny", write_model(tmp_path, **changes))


def test_an_unknown_model_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"no model 'tinny'.*The catalogue has: tiny\."):
        read_model("tinny", write_model(tmp_path))


def test_broken_json_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "models" / "tiny.json").write_text("{")
    with pytest.raises(CatalogueError, match=r"is not JSON"):
        read_model("tiny", tmp_path)
