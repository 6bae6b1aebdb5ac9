"""The CDK command line: synthesise the variants of a run, deploy and destroy them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from easel.cloud.prove.releases import ADDED, SETTINGS, write_code
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.terminal import Tick

POLL_SECONDS = 0.5
INTERRUPT_SECONDS = 60
TAIL_LINES, TAIL_BYTES = 12, 4096
EVENT_BARS = 4
"""Columns of an event: stack, count, time, status, type, resource."""
OPTIONS = ("--no-color", "--no-notices")
_NOISE = re.compile(r"^\s*$|_IN_PROGRESS|_COMPLETE\b|^\[Warning|✨|^Stack ARN|^Outputs:|^\w+\.\w+ = ")


class Cdk:
    """Runs `cdk` of the checkout in `root`. Assemblies, code and logs are in `folder`.

    A command inherits the file descriptor `lock`: if this program is killed, the folder stays locked until it ends.
    """

    def __init__(self, root: Path, folder: Path, region: str, context: Sequence[str], lock: int | None = None) -> None:
        self._root, self._folder, self._context = root, folder, context
        self._lock = () if lock is None else (lock,)
        path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))  # Node may be in .venv
        self._environment = {**os.environ, "AWS_REGION": region, "PATH": path}

    def deploy(self, variant: str, tick: Tick) -> int:
        """Deploy all stacks of a variant and return the exit status. `tick` gets the newest event meanwhile."""
        assembly = self._synthesise(variant, tick)
        return self._run("deploy", "--all", "--app", str(assembly), "--require-approval", "never",
                         "--progress", "events", tick=tick)  # fmt: skip

    def destroy(self, tick: Tick) -> int:
        """Destroy all stacks and return the exit status. Every variant has the same stacks."""
        assemblies = [
            folder for folder in (self._folder / "assemblies").glob("*") if (folder / "manifest.json").exists()
        ]
        assembly = max(assemblies, key=lambda folder: folder.stat().st_mtime, default=None)
        assembly = assembly or self._synthesise("async", tick)
        return self._run("destroy", "--all", "--app", str(assembly), "--force", tick=tick)

    def last_words(self) -> str:
        """Return the end of the last command's output, without its progress."""
        logs = sorted((self._folder / "logs").glob("*.log"))
        lines = logs[-1].read_text(encoding="utf-8", errors="replace").splitlines() if logs else []
        return "\n".join([line for line in lines if not _NOISE.search(line)][-TAIL_LINES:])

    def _synthesise(self, variant: str, tick: Tick) -> Path:
        """Write the assembly of a variant. Raises CommandError: the app refuses the settings, for example."""
        code, assembly = self._root / "model_code", self._folder / "assemblies" / variant
        if ADDED[variant]:
            code = write_code(code, self._folder / "code" / variant, ADDED[variant])
        context = [part for pair in (*self._context, *SETTINGS[variant]) for part in ("-c", pair)]
        # The space: the CDK's parser of options removes quotes that enclose a whole value.
        app = shlex.join((sys.executable, "app.py", "--model-code", str(code))) + " "
        if self._run("synth", "--quiet", "--app", app, "--output", str(assembly), *context, tick=tick):
            fix = "Correct what the lines above name, then: easel prove"
            raise CommandError("The templates cannot be written", where="cdk synth", why=self.last_words(), fix=fix)
        return assembly

    def _run(self, *arguments: str, tick: Tick) -> int:
        """Run a command in a process group of its own, so that Ctrl-C comes to it only from here."""
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        program = self._root / "node_modules" / ".bin" / "cdk"
        try:
            log = logs / f"{time.time():.6f}-{arguments[0]}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    (str(program), *arguments, *OPTIONS), cwd=self._root, env=self._environment, stdout=file,
                    stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=self._lock,
                )  # fmt: skip
        except OSError as error:
            why, fix = error.strerror or str(error), "make synth installs it"
            raise CommandError(
                "The CDK does not start", where=str(program), why=why, fix=fix, code=ENVIRONMENT
            ) from None
        try:
            while process.poll() is None:
                tick(_newest_event(log))
                time.sleep(POLL_SECONDS)
        except BaseException:
            _interrupt(process)
            raise
        return process.returncode


def _newest_event(log: Path) -> str:
    """Return stack, status and resource of the last event in the output of a deploy or destroy; empty if none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    events = [[cell.strip() for cell in line.split("|")] for line in lines if line.count("|") > EVENT_BARS]
    return f" · {events[-1][0]} {events[-1][3]} {events[-1][-1]}" if events else ""


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """End the CDK. What CloudFormation does goes on."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
