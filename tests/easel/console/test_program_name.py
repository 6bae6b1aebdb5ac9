"""Commands in messages work where they are printed."""

import subprocess
import sys
from pathlib import Path

import pytest

from easel.cli import app
from easel.console.program_name import COMMANDS, with_program_name
from tests.easel.running import ROOT


def test_every_command_is_known() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names | {group.name for group in app.registered_groups} == set(COMMANDS)


@pytest.mark.parametrize(
    ("started", "printed"),
    [
        (".venv/bin/easel", ".venv/bin/easel resume"),
        ("/else where/bin/easel", "'/else where/bin/easel' resume"),
        ("on-path", "easel resume"),
    ],
)
def test_a_command_in_a_text(started: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = tmp_path / "easel"
    on_path.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MAKELEVEL", raising=False)  # `make test`
    monkeypatch.setattr(sys, "argv", [str(on_path) if started == "on-path" else started, "up"])
    assert with_program_name("Back with: easel resume") == f"Back with: {printed}"
    assert with_program_name("`easel resume` brings an easel back") == f"`{printed}` brings an easel back"
    for other in ("easel resumed", ".venv/bin/easel resume", "an easel", "my-easel resume"):
        assert with_program_name(other) == other


def test_a_command_printed_under_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """make finds `easel` in the PATH that it sets for its recipes. The person who types `make up` does not."""
    program = tmp_path / ".venv/bin/easel"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setattr(sys, "argv", [str(program), "up"])
    monkeypatch.chdir(tmp_path)
    assert with_program_name("easel up --port 7861") == ".venv/bin/easel up --port 7861"


def test_the_fix_of_an_error_runs_as_it_is_printed(tmp_path: Path) -> None:
    """Starts `easel` as `make up` does: by its path, while it is not on PATH."""
    script = tmp_path / "bin" / "easel"
    script.parent.mkdir()
    # As pip writes it where the path has a space.
    script.write_text(
        f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"\n' '''\nfrom easel.__main__ import main\nmain()\n"
    )
    script.chmod(0o755)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    fix = run("bin/easel", "up", "--model", "nope").stderr.splitlines()[-1].split(None, 1)[1]
    assert fix == "bin/easel models"
    assert run("sh", "-c", fix).stdout.startswith("emoji ")
    assert "bin/easel up" in run("bin/easel", "--help").stdout
