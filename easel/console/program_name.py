"""The command that starts this program, since after `make up` `easel` is not on PATH, and its version."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from easel import IN_CHECKOUT, ROOT

COMMANDS = (
    "up", "generate", "connect", "mcp", "models", "doctor", "outputs", "leftovers", "pause", "resume", "prove",
    "policies", "keys",
)  # fmt: skip


def with_program_name(text: str) -> str:
    """Replace `easel <command>` in `text` by a command that works here, such as `.venv/bin/easel up`."""
    return re.sub(rf"(?<![\w/.-])easel (?=(?:{'|'.join(COMMANDS)})\b)", lambda _: f"{_program()} ", text)


def version() -> str:
    """Return the version of this program."""
    if not IN_CHECKOUT:
        from importlib.metadata import version

        return version("easel")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _program() -> str:
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.orig_argv[0])} -m easel"
    on_path = shutil.which("easel") == str(started) and "MAKELEVEL" not in os.environ  # make has a PATH of its own
    if started.name != "easel" or on_path:
        return "easel"
    return shlex.quote(str(started.relative_to(Path.cwd()) if started.is_relative_to(Path.cwd()) else started))
