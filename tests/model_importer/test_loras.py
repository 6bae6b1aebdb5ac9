"""LoRAs that an import brings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.model_files import UNET_OF_LORA, lora, tensors
from tests.model_importer.conftest import Stage
from tests.model_importer.example import LARGE, SOURCE, write_files

FILE = "loras/flat.safetensors"
LARGE_LORA = lora(rank=1000)


def entry(content: bytes, **source: str) -> dict[str, Any]:
    other = {"source": {"kind": "hub", "repository": "org/model", "revision": "main", **source}} if source else {}
    return {**SOURCE, "loras": [{"id": "flat", "sha256": hashlib.sha256(content).hexdigest(), **other}]}


@pytest.fixture
def hub(stage: Stage) -> Stage:
    write_files(
        stage.repository.folder, {LARGE: tensors(UNET_OF_LORA), "styles/a.safetensors": LARGE_LORA, FILE: lora()}
    )
    return stage


def test_it_is_beside_the_model_or_in_a_repository_of_its_own(hub: Stage) -> None:
    beside = hub.run(source=entry(lora()))
    assert hub.released(beside["prefix"])[FILE] == lora()
    other = hub.run(source=entry(LARGE_LORA, file="styles/a.safetensors"))
    released = hub.released(other["prefix"])
    assert released[FILE] == LARGE_LORA
    digests = {file["path"]: file["digest"] for file in json.loads(released["release.json"])["files"]}
    assert digests[FILE] == f"sha256:{hashlib.sha256(LARGE_LORA).hexdigest()}"
    assert FILE not in hub.released(hub.run()["prefix"])


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (entry(b"another"), "has the sha256"),
        (entry(b"another", file="styles/a.safetensors"), "has the digest"),
        (entry(lora(), file="styles/b.safetensors"), "There is no styles/b.safetensors in org/model"),
    ],
)
def test_another_file_is_refused(hub: Stage, source: dict[str, Any], word: str) -> None:
    state = hub.run(source=source)
    assert word in state["error"]


def test_a_lora_of_another_base_is_refused_before_anything_is_written(hub: Stage) -> None:
    content = lora(channels=9)
    write_files(hub.repository.folder, {FILE: content})
    assert "does not fit this model" in hub.run(source=entry(content))["error"]
    assert [item["Key"] for item in hub.s3.list_objects_v2(Bucket="store")["Contents"]] == ["imports/1.json"]
