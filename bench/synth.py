"""`cdk synth` in an empty environment: `python -m bench.synth [--model emoji]`, about a minute.

No credentials, no AWS settings and an empty home, so that nothing is cached the first time; no Docker is on the path,
and no network where this user may make a network namespace of its own (`unshare --net`; the figures say so).
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.laptop import ROOT, machine, tell

TARGETS = {"cold_s": 25.0, "warm_s": 25.0}


def tools(folder: Path) -> Path:
    """A path with Node on it and nothing else."""
    folder.mkdir()
    (folder / "node").symlink_to(shutil.which("node") or sys.exit("Node is missing"))
    return folder


def apart(*namespaces: str) -> list[str]:
    """The command that enters new namespaces (`--net`, `--mount`), or nothing where this user may make none."""
    unshare = shutil.which("unshare")
    for options in ([], ["--user", "--map-root-user"]):
        command = [unshare or "", *options, *namespaces]
        if unshare and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return []


def synth(command: list[str], home: Path, output: Path, path: Path) -> tuple[float, float]:
    """Seconds on the clock, and of processors."""
    environment = {"HOME": str(home), "PATH": str(path), "CDK_HOME": str(home), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    began, worked = time.monotonic(), _processor_seconds()
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - began, _processor_seconds() - worked


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji")
    model, shut = parser.parse_args().model, apart("--net")
    where = {**machine(), "network": "none" if shut else "there"}
    cdk = [str(ROOT / "node_modules" / ".bin" / "cdk"), "synth", "--quiet", "--no-notices", "-c", f"model={model}"]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        home, path = here / "home", tools(here / "bin")
        home.mkdir()
        cold, warm = (synth([*shut, *cdk], home, here / out, path) for out in ("cold", "warm"))
    figures = {"cold_s": cold[0], "warm_s": warm[0], "cold_cpu_s": cold[1], "warm_cpu_s": warm[1]}
    sys.exit(not tell("synth", figures, TARGETS, where))


if __name__ == "__main__":
    main()
