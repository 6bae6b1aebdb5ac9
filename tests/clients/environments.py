"""The clients, their versions, and an environment for each in .cache/clients."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.conftest import ROOT, alone

CACHE = ROOT / ".cache" / "clients"
PROGRAMS = Path(__file__).parent / "programs"

PYTHON: dict[str, list[str]] = {
    "openai-python": ["openai==3.54.0"],
    "litellm": ["litellm==1.110.2"],
    "llm": ["llm==0.36", "llm-openai-images==0.3.1"],
    "haystack": ["haystack-ai==3.4.1"],
    "langchain": ["langchain-community==0.4.2", "openai==2.54.0"],
    "replicate-python": ["replicate==1.0.7"],
    "automatic1111": ["webuiapi==0.9.17"],
    "huggingface-python": ["huggingface_hub==2.4.0", "pillow==13.0.0"],
    "open-webui": [
        "aiofiles==25.1.0", "aiohttp==3.14.5", "fastapi==0.136.3", "httpx2==2.16.0", "orjson==3.11.9", "pillow==13.0.0",
        "python-multipart==0.0.32", "python-socketio==5.16.2", "sqlalchemy[asyncio]==2.0.50",
    ],
}  # fmt: skip
"""Client to its requirements. The program is `programs/python/<client>.py`."""
ALONE = {"open-webui": "open-webui==0.12.4"}
"""Client to a package that is installed without its requirements: they are several GB."""
NODE: dict[str, dict[str, str]] = {
    "openai-node": {"openai": "7.57.0"},
    "ai-sdk": {"ai": "7.0.173", "@ai-sdk/openai": "4.0.118", "@ai-sdk/openai-compatible": "3.0.92"},
    "replicate-node": {"replicate": "1.4.0"},
    "huggingface-node": {"@huggingface/inference": "4.13.30"},
    "librechat": {"axios": "1.21.1", "form-data": "4.0.6", "openai": "5.8.2"},
    "mcp-inspector": {"@modelcontextprotocol/inspector": "2.12.0"},
}
"""Client to its packages. The program is `programs/node/<client>.mjs`, or a command of the package."""


def command(client: str) -> list[str]:
    """Return the command of a client's program, after its environment was installed."""
    if client in PYTHON:
        python = _python(PYTHON[client], ALONE.get(client)) / "bin/python"
        return [str(python), str(PROGRAMS / "python" / f"{client}.py")]
    folder = _node(NODE[client])
    for file in (PROGRAMS / "node").glob("*.mjs"):  # Node looks for packages beside the program
        shutil.copy(file, folder)
    return ["node", str(folder / f"{client}.mjs")]


def program(client: str, name: str) -> str:
    """Return the path of a command of a Node client's package, after its environment was installed."""
    return str(_node(NODE[client]) / "node_modules" / ".bin" / name)


def _python(requirements: list[str], whole: str | None) -> Path:
    folder = _folder([*requirements, *([whole] if whole else []), sys.version.split()[0]])
    with alone():
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *requirements)
            if whole:
                _run(str(folder / "bin/pip"), "install", "--quiet", "--no-deps", whole)
            (folder / "complete").touch()
    return folder


def _node(packages: dict[str, str]) -> Path:
    folder = _folder(packages)
    with alone():
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": packages}))
            _run("npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel", "error")
            (folder / "complete").touch()
    return folder


def _folder(versions: list[str] | dict[str, str]) -> Path:
    return CACHE / sha256(json.dumps(versions).encode()).hexdigest()[:16]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}", pytrace=False)
