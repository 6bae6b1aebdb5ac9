"""The committed record of `make parity`: it must be of what lies here now. If not: `make parity`, and commit it."""

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


def test_every_message_of_today_was_sent(record: dict[str, Any]) -> None:
    told = [line["message"] for line in record["messages"]]
    assert told == [message.name for message in messages.golden() + messages.others()]


def test_nothing_differed(record: dict[str, Any]) -> None:
    assert [line for line in record["messages"] if line["differs"]] == []
    assert [check for check in record["checks"] if not check["holds"]] == []
    assert record["tolerance"] == {"largest": messages.LARGEST, "mean": messages.MEAN}


def test_it_ran_the_weights_that_are_released(record: dict[str, Any]) -> None:
    told = "the record is older than the weights: make parity"
    assert record["weights"] == release.weights(ROOT / "models" / release.SETTINGS["model"]), told


def test_it_ran_what_the_image_has(record: dict[str, Any]) -> None:
    told = record["versions"]
    assert {name: version for name, version in told.items() if name not in ("python", "java")} == environment.pins()
    assert told["python"].startswith("3.12.")
    for tag in (images.GPU_TAG, images.CPU_TAG):
        assert tag.startswith(f"{told['torch']}-transformers{told['transformers']}-") and "-py312-" in tag
