"""How this program is called from where the person stands: after `make up` it is not on PATH."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

COMMANDS = ("up", "generate", "models", "doctor", "outputs", "leftovers", "pause", "resume")


def as_typed(text: str) -> str:
    """`easel <command>` in a text for people, in the form that works here, such as `.venv/bin/easel up`."""
    return re.sub(rf"(?<![\w/.-])easel (?=(?:{'|'.join(COMMANDS)})\b)", lambda _: f"{_name()} ", text)


def _name() -> str:
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.orig_argv[0])} -m easel"
    if started.name != "easel" or shutil.which("easel") == str(started):
        return "easel"
    return shlex.quote(str(started))
