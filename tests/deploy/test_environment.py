"""Set-up of the deploy tests."""

import json
import re
import shutil
from pathlib import Path

import psutil
import pytest

from tests.deploy.harness.deployment import wait_until
from tests.deploy.harness.environment import DEPLOY_TESTS, ROOT, MissingToolError, set_up
from tests.deploy.harness.forks import project


def pins(name: str) -> dict[str, str]:
    """Return package to version of a requirements file."""
    text = (ROOT / name).read_text()
    return {package.lower(): version for package, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


@pytest.mark.parametrize("program", ["node", "npm", "openssl"])
def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else f"/bin/{name}")
    with pytest.raises(MissingToolError, match=program):
        set_up()


def test_functions_have_the_same_packages_as_on_a_laptop() -> None:
    emulator, laptop = pins("tests/deploy/requirements.txt"), pins("requirements-laptop.txt")
    for package in ("aws-lambda-powertools", "pydantic"):
        assert emulator[package] == laptop[package]


def test_every_pin_is_exact() -> None:
    direct, locked = pins("tests/deploy/requirements.in"), pins("tests/deploy/requirements.txt")
    assert direct.items() <= locked.items()
    for folder in (ROOT, DEPLOY_TESTS):
        package = json.loads((folder / "package.json").read_text())
        versions = {**package.get("dependencies", {}), **package.get("devDependencies", {})}.values()
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_the_process_that_forks_lives_as_long_as_somebody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "FOLDER", tmp_path)

    def processes() -> list[int]:
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(tmp_path) in (process.info["cmdline"] or ())
        ]

    for _ in range(2):
        with project.project_forks():
            (first,) = processes()
            with project.project_forks():
                assert processes() == [first]
            assert processes() == [first]
        wait_until(lambda: processes() == [])
