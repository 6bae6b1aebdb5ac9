"""A checkpoint, a hub and a site for the commands `easel models …`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.client.connection import trusted_certificates
from tests.checkpoints import original_layout, save_checkpoint, stable_diffusion_1
from tests.conftest import skip_waits

Easel = Callable[..., Result]
shared_certificates = functools.cache(trusted_certificates)
"""Reading 150 certificates takes longer than many a test, whose servers have none."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Stable Diffusion 1.x with random weights, as one file."""
    path = tmp_path_factory.mktemp("checkpoint") / "panda.safetensors"
    return save_checkpoint(original_layout(stable_diffusion_1(), "sd-1"), path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Easel:
    """Run `easel models` with arguments, without a terminal, and return its result."""
    skip_waits(monkeypatch, "easel", "model_importer")
    monkeypatch.setattr("easel.client.connection.trusted_certificates", shared_certificates)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_TOKEN", "EASEL_MODEL_TOKEN", "EASEL_MODEL_TOKEN_HOST", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["models", *map(str, arguments)])
