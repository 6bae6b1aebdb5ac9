"""Checks of this machine: Node, the CDK command line, disk space."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easel.cloud.doctor import machine
from stacks.config.catalogue import Model
from stacks.config.model_folder import released_files
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.doctor.test_model import own_model
from tests.easel.running import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose package.json accepts Node 22 or newer."""
    (tmp_path / "package.json").write_text('{"engines": {"node": ">=22"}, "devDependencies": {"aws-cdk": "2.1.0"}}')
    return tmp_path


def fake_node(folder: Path, version: str) -> Path:
    path = folder / "node"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        ("v22.0.0", "ok", ["v22.0.0"]),
        ("v21.9.9", "failed", ["v21.9.9", "22"]),
        ("", "failed", ["unknown", "22"]),
    ],
)
def test_node_version(
    project: Path, monkeypatch: pytest.MonkeyPatch, version: str, status: Any, message: list[str]
) -> None:
    fake_node(project, version)
    monkeypatch.setenv("PATH", f"{project}:/bin")
    remedy = "https://nodejs.org" if status == "failed" else ""
    assert_result(machine.node.run(project), status, *message, remedy=remedy)


def test_node_is_not_installed(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setenv("PATH", str(project))
    assert_result(machine.node.run(project), "failed", remedy="https://nodejs.org")


def test_node_does_not_start(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_node(project, "")
    path.write_text("#!/not/there\n")
    monkeypatch.setenv("PATH", str(project))
    assert_result(machine.node.run(project), "failed", str(path), "No such file", remedy="https://nodejs.org")


def test_cdk_must_have_the_pinned_version(project: Path) -> None:
    assert_result(machine.cdk.run(project), "failed", "2.1.0", remedy="make synth")
    installed = project / "node_modules/aws-cdk/package.json"
    installed.parent.mkdir(parents=True)
    installed.write_text('{"version": "3.0.0"}')
    assert_result(machine.cdk.run(project), "failed", "3.0.0", "2.1.0", remedy="npm ci")
    installed.write_text('{"version": "2.1.0"}')
    assert_result(machine.cdk.run(project), "ok", "2.1.0")


def test_the_project_pins_the_cdk(tmp_path: Path) -> None:
    shutil.copy(ROOT / "package.json", tmp_path)
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    assert_result(machine.cdk.run(tmp_path), "failed", pinned)


def test_disk_needs_space_for_two_copies_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = own_model(tmp_path)
    assert isinstance(plan.model, Model)
    files = [tmp_path / "own" / name for name in released_files(tmp_path / "own", extras=plan.model.extra_digests)]
    needed = machine.SPARE_BYTES + 2 * sum(file.stat().st_size for file in files)
    usage = SimpleNamespace(free=needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert_result(machine.disk.run(plan, tmp_path), "ok", str(tmp_path))
    usage.free = needed - 1
    gigabytes = f"{needed / 1e9:.1f} GB"
    assert_result(machine.disk.run(plan, tmp_path), "failed", str(tmp_path), gigabytes, remedy="rm -rf cdk.out")
