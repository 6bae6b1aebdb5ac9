"""The command line: help, version and the list of models."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from easel.cli import app
from stacks.config.catalogue import model_ids
from tests.easel.running import ROOT

LEAST = "import typer, pydantic; pydantic.TypeAdapter(int)"
"""A program that imports the two packages that help needs."""
GUARDED = """
import atexit, socket, sys
socket.socket.connect = lambda *_: sys.exit('the network was used')
heavy = {'httpx', 'rich', 'torch', 'starlette', 'uvicorn', 'boto3', 'botocore'}
atexit.register(lambda: print(heavy & set(sys.modules)))
from easel.cli import app; app()
"""


def seconds_of(program: str, *arguments: str) -> tuple[float, str]:
    """Return the processor time of the fastest of three runs, and the output of the last."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command, variables = [sys.executable, "-c", program, *arguments], {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds), done.stdout


@pytest.fixture(scope="module")
def least() -> float:
    return seconds_of(LEAST)[0]


@pytest.mark.parametrize("command", [[], ["generate"], ["doctor"]], ids=str)
def test_help_is_fast_and_needs_no_network(command: list[str], least: float) -> None:
    """It takes at most twice the time of its imports. bench/laptop.py measures 0.3 s on an idle machine."""
    help_of = (GUARDED, *command, "--help")
    seconds, output = seconds_of(*help_of)
    assert output.startswith("Usage:")
    assert output.splitlines()[-1] == "set()"
    again = (seconds_of(*help_of)[0] < 2 * seconds_of(LEAST)[0] for _ in range(3))
    assert seconds < 2 * least or any(again), "a busy machine delays some runs"


@pytest.mark.parametrize("command", ["up", "generate", "doctor", "outputs", "leftovers", "pause", "resume"])
def test_examples_use_options_that_exist(command: str) -> None:
    output = CliRunner().invoke(app, [command, "--help"]).stdout
    options, _, epilog = re.sub(r"\$\(.*\)", "", output).partition("Examples:")
    examples = "\n".join(re.findall(rf" easel {command}(.*)", epilog))
    used = set(re.findall(r"(?<=\s)-{1,2}[a-z-]+", examples))
    assert used
    assert used <= set(re.findall(r"(?<=\s)-{1,2}[a-z-]+", options))


def test_models_lists_the_catalogue() -> None:
    lines = CliRunner().invoke(app, ["models"]).stdout.splitlines()
    assert len(lines) == len(list((ROOT / "models").glob("*.json")))
    assert {line.split()[0]: line.rsplit("  ", 1)[-1] for line in lines} == {
        name: "here" if name == "emoji" else "not on this machine" for name in model_ids(ROOT)
    }


def test_models_tells_how_to_get_a_model() -> None:
    assert "easel models pull" in CliRunner().invoke(app, ["models"]).stderr


def test_help_shows_whole_descriptions() -> None:
    output = CliRunner().invoke(app, ["--help"]).stdout
    assert "..." not in output.replace("[ARGS]...", "")
    assert "works." in output


def test_version() -> None:
    assert re.fullmatch(r"easel \d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).stdout)


def test_an_invalid_entry_hides_no_other_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "models" / "emoji.json", tmp_path / "models")
    (tmp_path / "models" / "aa.json").write_text("{")
    monkeypatch.setattr("easel.laptop.catalogue.ROOT", tmp_path)
    result = CliRunner().invoke(app, ["models"])
    assert (result.exit_code, result.stdout.split()[0]) == (2, "emoji")
    assert "aa.json" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("typer", ["models"]),
        ("httpx", ["generate", "a"]),
        ("psutil", ["up"]),
        ("boto3", ["outputs"]),
        ("botocore", ["pause"]),
    ],
)
def test_a_signal_during_the_imports_is_one_line(
    tmp_path: Path, package: str, arguments: list[str], number: signal.Signals
) -> None:
    """A package in the place of the real one sends the signal while it is imported."""
    (tmp_path / f"{package}.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {number.value})\ntime.sleep(20)\n", encoding="utf-8"
    )
    variables = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "easel", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (128 + number, ["Interrupted."])
    assert "Traceback" not in done.stderr
