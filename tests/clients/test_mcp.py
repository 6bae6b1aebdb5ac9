"""What `easel connect` prints for assistants: MCP Inspector starts `easel mcp` from it, and calls its tools."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract import image_size
from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.clients import environments
from tests.clients.conftest import QUIET, Target
from tests.conftest import ROOT

ASSISTANTS = sorted(client.name for client in CLIENTS.values() if client.api == "MCP")
EASEL = (sys.executable, "-m", "easel")


def inspect(target: Target, name: str, folder: Path, method: str, *arguments: str) -> tuple[int, Any]:
    """Return the exit code, and what the server of an assistant's settings responded."""
    settings = Settings(target.url, key=target.key, shown=True, needs_key=True, model="emoji", command=EASEL)
    value = json.loads(settings.render(CLIENTS[name]))
    config = folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": value.get("mcpServers") or value["servers"]}), encoding="utf-8")
    command = [environments.program("mcp-inspector", "mcp-inspector"), "--cli", "--config", str(config)]
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "MCP_INSPECTOR_SECRET_STORE": "memory"}
    command += ["--server", "easel", "--cwd", str(folder), "-e", f"PYTHONPATH={ROOT}", "-e", f"HOME={folder}"]
    done = subprocess.run(
        [*command, "--method", method, *arguments],
        cwd=folder,
        env={**os.environ, **QUIET, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", ASSISTANTS)
def test_an_assistant_generates(target: Target, tmp_path: Path, name: str) -> None:
    _, listed = inspect(target, name, tmp_path, "tools/list", "--strict")
    assert [tool["name"] for tool in listed["tools"]] == ["generate_image", "edit_image", "list_models"]
    fields = ["--tool-name", "generate_image", "--tool-arg", "prompt=a red apple", "width=64", "height=72", "seed=7"]
    _, called = inspect(target, name, tmp_path, "tools/call", *fields)
    shown, text = called["content"]
    assert Image.open(io.BytesIO(base64.b64decode(shown["data"]))).size == (64, 72)
    assert image_size(Path(text["text"].rpartition(": ")[2]).read_bytes()) == (64, 72)
    (request,) = target.requests()
    assert (request["prompt"], request["seed"]) == (["a red apple"], 7)


def test_the_message_of_a_field_that_cannot_be_used(target: Target, tmp_path: Path) -> None:
    fields = ["--tool-name", "generate_image", "--tool-arg", "prompt=a", "width=65"]
    _, called = inspect(target, ASSISTANTS[0], tmp_path, "tools/call", *fields)
    assert called["isError"] and "width" in called["content"][0]["text"]
    assert not target.requests()
