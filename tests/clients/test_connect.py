"""What `easel connect` prints runs as it stands, and is one GPU job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.clients import environments
from tests.clients.conftest import QUIET, Target
from tests.conftest import ROOT

ENVIRONMENTS = {
    "ai-sdk": "ai-sdk",
    "curl": "",
    "huggingface-hub": "huggingface-python",
    "huggingface-js": "huggingface-node",
    "litellm": "litellm",
    "llm": "llm",
    "openai-js": "openai-node",
    "openai-python": "openai-python",
    "python": "",
    "replicate-js": "replicate-node",
    "replicate-python": "replicate-python",
    "webuiapi": "automatic1111",
}
"""Client of `easel connect` to its environment; empty: none of its own."""
SUFFIXES = {"python": "py", "js": "mjs", "sh": "sh"}


def test_every_program_is_run() -> None:
    assert set(ENVIRONMENTS) == {client.name for client in CLIENTS.values() if client.language in SUFFIXES}


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_the_printed_program_runs(target: Target, tmp_path: Path, name: str) -> None:
    client = CLIENTS[name]
    own = environments.command(ENVIRONMENTS[name]) if ENVIRONMENTS[name] else [sys.executable, ""]
    folder = Path(own[1]).parent if client.language == "js" else tmp_path  # Node looks for packages beside the program
    program = folder / f"connect-{name}.{SUFFIXES[client.language]}"
    text = Settings(target.url, needs_key=True, model="emoji").render(client)
    program.write_text(text, encoding="utf-8")
    variables = {**os.environ, **QUIET, "EASEL_KEY": target.key, "HOME": str(tmp_path), "PYTHONPATH": ""}
    if name == "python":
        variables["PYTHONPATH"] = str(ROOT)
    variables["PATH"] = f"{Path(own[0]).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["sh" if client.language == "sh" else own[0], str(program)]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    Image.open(tmp_path / "apple.png").load()
    (request,) = target.requests()
    assert request["prompt"] == ["a red apple"]
