"""What `make parity` stands on: Linux's namespaces, Java, and the serving image's packages in a venv of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.synth import apart
from tests.deploy.harness.environment import ROOT, MissingToolError, install

WANTED = Path(__file__).with_name("requirements.txt")
VENV = ROOT / ".cache" / "parity-venv"
ROOM = ("--mount", "--net")
MISFIT = (
    "sagemaker_huggingface_inference_toolkit/transformers_utils.py",
    "from transformers.file_utils import is_tf_available, is_torch_available\n",
    "from transformers.utils import is_torch_available\n\nis_tf_available = bool  # False: transformers 5 has none\n",
)
"""The one line of the toolkit 2.6.0 that transformers 5 refuses; the image has a 2.7.0 that no package index has."""


def set_up() -> None:
    """Installs what is missing. Raises MissingToolError, which says what to do."""
    if not _java():
        raise MissingToolError(
            "make parity needs Java (17 or newer), since the serving image's server is a Java program. Install it, for "
            "instance `sudo apt-get install openjdk-17-jre-headless`, then try again."
        )
    if not apart(*ROOM):
        raise MissingToolError(
            "make parity needs mount and network namespaces of its own (`unshare --mount --net`), since the server "
            "writes to /etc and /opt: run it on Linux, as a user who may make user namespaces."
        )
    install(VENV, WANTED, "--no-deps", python=_python())
    (packages,) = VENV.glob("lib/python3.12/site-packages")
    mend(packages, *MISFIT)


def mend(packages: Path, name: str, line: str, fit: str) -> None:
    """Replaces a line of a file below `packages`, once. Raises MissingToolError where the file has no such line."""
    file = packages / name
    source = file.read_text()
    if fit in source:
        return
    if line not in source:
        raise MissingToolError(f"{name} is not as expected: look at who mends it in tests/parity.")
    file.write_text(source.replace(line, fit))


def pins() -> dict[str, str]:
    """What the image's Dockerfile pins, by name: the first block of the packages."""
    block, _ = WANTED.read_text().split("\n\n", 1)
    return dict(re.findall(r"^([\w-]+)==(\S+)$", block, re.MULTILINE))


def versions() -> dict[str, str]:
    """Of all that is run, by name."""
    python = subprocess.run([VENV / "bin" / "python", "-V"], capture_output=True, text=True, check=True).stdout
    return {"python": python.split()[1], "java": _java(), **pins()}


def _java() -> str:
    """Its version, or nothing where there is none."""
    java = shutil.which("java")
    told = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    found = re.search(r'version "([^"]+)"', told)
    return found[1] if found else ""


def _python() -> str:
    """A Python 3.12, as the image has."""
    for candidate in _pythons():
        told = subprocess.run([candidate, "-V"], capture_output=True, text=True).stdout
        if told.startswith("Python 3.12."):
            return candidate
    raise MissingToolError(
        "make parity needs Python 3.12, as the image has it. Install it, or name it: PYTHON312=/path make parity"
    )


def _pythons() -> Iterator[str]:
    named = os.environ.get("PYTHON312") or shutil.which("python3.12")
    if named:
        yield named
    yield from map(str, sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12")))
