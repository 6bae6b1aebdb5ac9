"""Standard output that is full, closed or ASCII: every command ends with one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from easel.console.errors import OUTPUT, CommandError
from easel.console.printable import printable, to_json
from tests.easel.running import EASEL, ROOT

COMMANDS = [["models"], ["--help"], ["--version"], ["up", "--help"], ["doctor"]]
FULL = Path("/dev/full")
HIDDEN = (0x200E, 0x202E, 0x2066, 0x2069, 0x061C, 0xD800, 0xE0041)


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a process without AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONIO"))}
    isolated = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return {**kept, **isolated, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(ROOT), **variables}


def run(command: list[str], output: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EASEL, *command], cwd=ROOT, env=environment(**variables), stdout=output, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not FULL.exists(), reason="macOS has no such device")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_is_full(command: list[str]) -> None:
    with FULL.open("w") as full:
        done = run(command, full.fileno())
    assert (done.returncode, len(done.stderr.splitlines())) == (OUTPUT, 1), done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_whose_reader_has_ended(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(command, writer)
    os.close(writer)
    assert (done.returncode, len(done.stderr.splitlines())) == (OUTPUT, 1), done.stderr


def test_an_output_in_ascii() -> None:
    done = run(["models"], subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "\\xd7" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    command = f'"{sys.executable}" -m easel models {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_printable_text_is_unchanged() -> None:
    text = "Ein Bär & 熊猫! שלום مرحبا 👩‍💻 ½ \\x1b"
    assert printable(text) == text


@pytest.mark.parametrize("code", [*range(32), *range(0x7F, 0xA0), *HIDDEN])
def test_characters_that_a_terminal_obeys_or_hides_are_escaped(code: int) -> None:
    assert printable(f"a{chr(code)}b").isascii()
    assert printable(f"a{chr(code)}b").isprintable()
    assert to_json([chr(code)]).isprintable()


def test_the_parts_of_an_error_are_printable() -> None:
    error = CommandError("a\x1b[2J", where="b\x07", why="c\n  fix   d", fix="e\u202e")
    assert error.lines() == ["Error: a\\x1b[2J", "  where b\\x07", "  why   c", "          fix   d", "  fix   e\\u202e"]
