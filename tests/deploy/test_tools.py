"""What the deploy test stands on."""

import json
import re
import shutil

import pytest

from tests.deploy import tools


def pins(name: str) -> dict[str, str]:
    """Package to version of a requirements file."""
    text = (tools.ROOT / name).read_text()
    return {package.lower(): version for package, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


@pytest.mark.parametrize("program", ["node", "npm", "openssl"])
def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else f"/bin/{name}")
    with pytest.raises(tools.MissingToolError, match=f"The deploy test needs {program}:"):
        tools.set_up()


def test_the_functions_get_the_same_packages_as_on_a_laptop() -> None:
    emulator, laptop = pins("tests/deploy/requirements.txt"), pins("requirements-laptop.txt")
    for package in ("aws-lambda-powertools", "pydantic"):
        assert emulator[package] == laptop[package]


def test_every_pin_is_exact() -> None:
    wanted, locked = pins("tests/deploy/requirements.in"), pins("tests/deploy/requirements.txt")
    assert wanted.items() <= locked.items()
    for folder in (tools.ROOT, tools.HERE):
        package = json.loads((folder / "package.json").read_text())
        versions = {**package.get("dependencies", {}), **package.get("devDependencies", {})}.values()
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
