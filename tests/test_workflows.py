"""The workflows of GitHub: pinned actions, few rights, and steps that a shell and Easel accept."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from easel import ROOT
from stacks.config.settings import parse_settings

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
ENVIRONMENTS = sorted((ROOT / "environments").glob("*.txt"))


def load(path: Path) -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return workflow


DEPLOY = load(FOLDER / "deploy.yml")


def steps(job: str) -> Iterator[dict[str, Any]]:
    yield from DEPLOY["jobs"][job]["steps"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_actions_are_pinned_to_a_commit_with_its_version(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_workflows_have_few_rights_and_an_end(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert job.get("permissions", {}).keys() <= {"contents", "id-token"}
        assert job.get("permissions", {}).get("contents", "read") == "read"


def test_shell_steps_have_no_syntax_error_and_no_expression() -> None:
    scripts = [step["run"] for job in DEPLOY["jobs"] for step in steps(job) if "run" in step]
    assert len(scripts) >= 5
    for script in scripts:
        assert "${{" not in script  # what GitHub fills in there would be run as code
        subprocess.run(("bash", "-n"), input=script, text=True, check=True, timeout=60)


def test_prod_follows_test_and_both_have_the_same_steps() -> None:
    jobs = DEPLOY["jobs"]
    assert jobs["prod"]["needs"] == "test"
    assert jobs["prod"]["steps"] == jobs["test"]["steps"]
    assert {name: job.get("environment") for name, job in jobs.items()} == {
        "diff": None, "test": "test", "prod": "prod",
    }  # fmt: skip
    assert DEPLOY["concurrency"]["group"].endswith("|| 'deploy' }}")


def test_a_pull_request_cannot_deploy() -> None:
    jobs = DEPLOY["jobs"]
    assert "head.repo.full_name == github.repository" in jobs["diff"]["if"]
    assert "github.event_name != 'pull_request'" in jobs["test"]["if"]
    roles = [step["with"]["role-to-assume"] for step in steps("diff") if "role-to-assume" in step.get("with", {})]
    assert roles == ["${{ matrix.role }}"]
    assert "pull_request_target" not in DEPLOY[True]  # PyYAML reads the key `on` as true


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: str(path.name))
def test_the_settings_of_each_environment_are_valid(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split()
    settings = parse_settings(dict(line.split("=", 1) for line in lines))
    assert f"name={settings.name}" in lines  # the smoke test reads it


def test_each_environment_has_its_settings_and_its_own_name() -> None:
    used = {job["env"]["ENVIRONMENT"] for name, job in DEPLOY["jobs"].items() if name != "diff"}
    assert used == {path.stem for path in ENVIRONMENTS}
    assert used == {entry["environment"] for entry in DEPLOY["jobs"]["diff"]["strategy"]["matrix"]["include"]}
    names = [re.findall(r"^name=(.+)$", path.read_text(), re.MULTILINE) for path in ENVIRONMENTS]
    assert len({name for (name,) in names}) == len(names)
