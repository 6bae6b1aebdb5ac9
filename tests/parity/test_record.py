"""The committed record of `make parity` fits the current files. If a test fails: run `make parity` and commit it."""

import json
from typing import Any

import pytest

from stacks.config import images
from tests.deploy.harness.environment import ROOT
from tests.parity import environment, messages, release
from tests.parity.__main__ import RECORD


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(RECORD.read_text())
    return loaded


def test_it_has_every_current_message(record: dict[str, Any]) -> None:
    recorded = [line["message"] for line in record["messages"]]
    assert recorded == [message.name for message in messages.all_messages()]


def test_it_has_no_difference_and_no_failed_check(record: dict[str, Any]) -> None:
    assert [line for line in record["messages"] if line["difference"]] == []
    assert [check for check in record["checks"] if not check["passed"]] == []
    assert record["tolerance"] == {"largest": messages.LARGEST, "mean": messages.MEAN}


def test_it_has_the_released_weights(record: dict[str, Any]) -> None:
    current = release.weight_hashes(ROOT / "models" / release.SETTINGS["model"])
    assert record["weights"] == current, "the record is older than the weights: make parity"


def test_it_has_the_versions_of_the_image(record: dict[str, Any]) -> None:
    versions = record["versions"]
    assert {name: pin for name, pin in versions.items() if name not in ("python", "java")} == environment.pins()
    assert versions["python"].startswith("3.12.")
    for tag in (images.GPU_TAG, images.CPU_TAG):
        assert tag.startswith(f"{versions['torch']}-transformers{versions['transformers']}-") and "-py312-" in tag
