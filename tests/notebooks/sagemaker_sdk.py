"""The SageMaker SDK for a notebook's kernel, in .cache/: it brings scipy, which the laptop must not have."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stacks.config.catalogue import read_model
from tests.deploy.harness.environment import CACHE, ROOT, install_lock
from tests.notebooks.execution import printed_text, shown_images

FOLDER = CACHE / "sagemaker-sdk"
INSTALL_SECONDS = 600
CELLS = ("04", "12", "14", "sdk", "16", "16", "18", "20", "31")
SETTINGS = {"SDK": "sagemaker", "PROFILE": read_model("emoji", ROOT).container_profile}
"""Settings; the profile is otherwise set by step 2, which loads the model."""
REQUIREMENTS = ROOT / "notebooks/requirements-sagemaker.txt"


def install() -> Path:
    """Return the folder with sagemaker-core and what it needs beyond the packages of this interpreter.

    Raises CalledProcessError if its requirements conflict with the laptop's pins.
    """
    (pin,) = (line for line in REQUIREMENTS.read_text("utf-8").splitlines() if line.startswith("sagemaker-core=="))
    packages = FOLDER / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    installed = FOLDER / "installed.txt"
    with install_lock():
        if not installed.is_file() or installed.read_text("utf-8") != pin:
            python = str(FOLDER / "bin/python")
            run_program(sys.executable, "-m", "venv", "--clear", str(FOLDER))
            # Relative: in the C locale Python reads this file as ASCII, and a folder may have an accent.
            laptop = os.path.relpath(Path(torch.__file__).parents[1], packages)
            (packages / "laptop.pth").write_text(f"{laptop}\n", "utf-8")
            constraints = ("-c", str(ROOT / "requirements-laptop.txt"))
            run_program(python, "-m", "pip", "install", "--quiet", *constraints, "-r", "/dev/stdin", stdin=pin)
            installed.write_text(pin, "utf-8")
    return packages


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a kernel that imports the SDK."""
    return {**environment, "PYTHONPATH": str(install())}


def run_program(*command: str, stdin: str = "") -> None:
    subprocess.run(command, input=stdin, text=True, check=True, timeout=INSTALL_SECONDS)


def check(notebook: Any) -> None:
    """Assert that the cells deployed, generated and removed."""
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    errors = [output.evalue for output in outputs if output.output_type == "error"]
    assert not errors, errors
    assert [image.size for image in shown_images(notebook)] == [(512, 512)] * 2
    left = printed_text(notebook.cells[-1]).splitlines()
    assert left[:3] == ["endpoints left: none", "endpoint configurations left: none", "models left: none"], left
    assert all(line.endswith("left: none") for line in left), left
