"""The requirements of `make parity`: namespaces of Linux, Java, and a venv with the serving image's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.synth import unshare_command
from tests.deploy.harness.environment import ROOT, MissingToolError, install

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VENV = ROOT / ".cache" / "parity-venv"
NAMESPACES = ("--mount", "--net")
Patch = tuple[str, str, str]
"""File below site-packages, line, replacement."""
TRANSFORMERS_PATCH: Patch = (
    "sagemaker_huggingface_inference_toolkit/transformers_utils.py",
    "from transformers.file_utils import is_tf_available, is_torch_available\n",
    "from transformers.utils import is_torch_available\n\nis_tf_available = bool  # False: transformers 5 has none\n",
)
"""An import of the toolkit 2.6.0 that transformers 5 lacks. The image has a 2.7.0, which no package index has."""


def set_up() -> None:
    """Install what is missing. Raises MissingToolError, which says what to do."""
    if not _java_version():
        raise MissingToolError(
            "make parity needs Java 17 or newer: the serving image's server is a Java program. Install it, for "
            "example `sudo apt-get install openjdk-17-jre-headless`, then try again."
        )
    if not unshare_command(*NAMESPACES):
        raise MissingToolError(
            "make parity needs its own mount and network namespaces (`unshare --mount --net`): the server writes to "
            "/etc and /opt. Run it on Linux, as a user who may create user namespaces."
        )
    install(VENV, REQUIREMENTS, "--no-deps", python=_python())
    (packages,) = VENV.glob("lib/python3.12/site-packages")
    apply_patch(packages, TRANSFORMERS_PATCH)


def apply_patch(packages: Path, patch: Patch) -> None:
    """Replace a line of a file below `packages`, once. Raises MissingToolError if the file lacks the line."""
    name, line, replacement = patch
    file = packages / name
    source = file.read_text()
    if replacement in source:
        return
    if line not in source:
        raise MissingToolError(f"{name} has changed. Correct its patch in tests/parity.")
    file.write_text(source.replace(line, replacement))


def pins() -> dict[str, str]:
    """Return the versions that the image's Dockerfile pins: the first block of the requirements."""
    block, _ = REQUIREMENTS.read_text().split("\n\n", 1)
    return dict(re.findall(r"^([\w-]+)==(\S+)$", block, re.MULTILINE))


def versions() -> dict[str, str]:
    """Return the versions of Python, Java and the pinned packages."""
    python = subprocess.run([VENV / "bin" / "python", "-V"], capture_output=True, text=True, check=True).stdout
    return {"python": python.split()[1], "java": _java_version(), **pins()}


def _java_version() -> str:
    """Return the version, or "" without Java."""
    java = shutil.which("java")
    output = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    found = re.search(r'version "([^"]+)"', output)
    return found[1] if found else ""


def _python() -> str:
    """Return a Python 3.12, the image's version."""
    for candidate in _candidates():
        output = subprocess.run([candidate, "-V"], capture_output=True, text=True).stdout
        if output.startswith("Python 3.12."):
            return candidate
    raise MissingToolError(
        "make parity needs Python 3.12, the image's version. Install it, or set its path: PYTHON312=/path make parity"
    )


def _candidates() -> Iterator[str]:
    program = os.environ.get("PYTHON312") or shutil.which("python3.12")
    if program:
        yield program
    yield from map(str, sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12")))
