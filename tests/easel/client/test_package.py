"""The package that `pip install .` installs: the client and its commands, without the rest of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.easel.client.fake_api import FakeApi
from tests.easel.running import ROOT

pytestmark = pytest.mark.slow

Api = type[FakeApi]

PROGRAM = """
import sys
path = [*sys.path]
from easel.client import Easel
import easel
print(easel.__file__)
assert sys.path == path, "the import changes the path"
heavy = {"torch", "boto3", "aws_cdk", "mcp", "PIL", "typer", "contract"} & set(sys.modules)
assert not heavy, heavy
with Easel() as service:
    print(*service.generate("a").seeds)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "easel", source / "easel", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements-mcp.txt"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", ".", "."]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    zipfile.ZipFile(next(source.glob("*.whl"))).extractall(site)
    return site


def run(arguments: Sequence[str], site: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONIOENCODING": "utf-8", **variables}
    return subprocess.run([sys.executable, *arguments], cwd=site, env=environment, capture_output=True, text=True)


def test_the_installed_client(installed: Path, api: Api) -> None:
    done = run(["-c", PROGRAM], installed, EASEL_URL=api.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(installed / "easel" / "__init__.py"), "7 8"]
    assert (installed / "easel" / "py.typed").exists()


def test_the_installed_command(installed: Path, api: Api, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(["-m", "easel", "--version"], installed).stdout == f"easel {version}\n"
    shown = run(["-m", "easel", "--help"], installed).stdout
    assert ("generate" in shown, "leftovers" in shown) == (True, False)
    done = run(["-m", "easel", "generate", "a", "-o", str(tmp_path), "--url", api.url], installed)
    assert (done.returncode, len(list(tmp_path.iterdir()))) == (0, 2), done.stderr
    settings = run(["-m", "easel", "connect", "curl", "--url", api.url, "--model", "m"], installed)
    assert (settings.returncode, settings.stdout.startswith("curl ")) == (0, True), settings.stderr
    refused = run(["-m", "easel", "up"], installed)
    assert (refused.returncode, "make up" in refused.stderr, "Traceback" in refused.stderr) == (3, True, False)
