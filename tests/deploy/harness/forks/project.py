"""The process of program.py with the project's libraries, one for all accounts and notebooks of a checkout."""

import fcntl
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.harness.environment import CACHE, PYTHON, ROOT, user_environment
from tests.deploy.harness.forks import program

PROGRAM = program.__file__
FOLDER = CACHE / "forks"
SHORT_WAITS = Path(PROGRAM).parents[1] / "short_waits"
"""Shortens the poll intervals of the CDK, of the functions and of `easel`: nothing in an account takes minutes."""
START_SECONDS = 180


def forked(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs `python ARGUMENTS` in a fork, inside of `project_forks`."""
    return (PYTHON, "-IS", PROGRAM, str(FOLDER), *arguments)


def forked_children() -> dict[str, str]:
    """Return the variable with which a fork also starts its own Python programs in forks."""
    return {"FORKED_PYTHON": str(FOLDER / "python")}


def write_program(file: Path, *command: str) -> Path:
    """Write a program that runs a command with further arguments."""
    file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    file.chmod(0o755)
    return file


@contextmanager
def project_forks() -> Iterator[None]:
    """Keep the process running meanwhile. It starts with its first user, of any test run, and ends with the last."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / program.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        user = _join()
        if user is None:
            user = _start()
    try:
        yield
    finally:
        os.close(user)


def _join() -> int | None:
    """Return an open pipe to the running process; None if there is none."""
    try:
        return os.open(FOLDER / program.USERS, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # no pipe, or nobody reads it
        return None


def _start() -> int:
    write_program(FOLDER / "python", *forked())
    variables = user_environment() | {"PYTHONPATH": f"{ROOT}:{SHORT_WAITS}"}
    with (FOLDER / "log").open("wb") as log:
        subprocess.run(
            (PYTHON, "-P", PROGRAM, str(FOLDER), "project"), env=variables, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, check=True,
        )  # fmt: skip
    end = time.monotonic() + START_SECONDS
    while (user := _join()) is None:
        assert time.monotonic() < end, (FOLDER / "log").read_text(errors="replace")
        time.sleep(0.01)
    return user
