"""The commands that people wait for most: `python -m bench.starts`, about a minute.

Medians of wall-clock and processor seconds of whole processes: `easel --help`, `easel up` until it is ready in a data
folder that an earlier start left, and one `cdk synth` without caches. On a shared machine compare processor seconds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.laptop import ROOT, machine, report, service
from bench.synth import node_only_path, synth, unshare_command

HELPS = 9
STARTS = 5
TARGETS = {"help_s": 0.15, "second_ready_s": 5.0, "cold_synth_s": 12.0}


def help_seconds() -> tuple[float, float]:
    """Return the seconds of wall-clock and of processor time of `easel --help`."""
    before, started = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-m", "easel", "--help"], cwd=ROOT, capture_output=True, check=True)
    seconds, after = time.monotonic() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


def ready_seconds(data: Path) -> tuple[float, float]:
    """Return the seconds of wall-clock and of processor time, of all processes, until `easel up` is ready."""
    with service(data) as running:
        root = psutil.Process(running.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return running.ready_s, sum(each.user + each.system for each in times)


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second start finds bytecode
    this_machine = machine()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        ready_seconds(here / "data")
        starts = [ready_seconds(here / "data") for _ in range(STARTS)]
        helps = [help_seconds() for _ in range(HELPS)]
        home = here / "home"
        home.mkdir()
        cdk = [str(ROOT / "node_modules" / ".bin" / "cdk"), "synth", "--quiet", "--no-notices", "-c", "model=emoji"]
        synths = [synth([*unshare_command("--net"), *cdk], home, here / "cdk.out", node_only_path(here / "bin"))]
    figures = {}
    for name, values in (("help", helps), ("second_ready", starts), ("cold_synth", synths)):
        figures[f"{name}_s"] = statistics.median(wall for wall, _ in values)
        figures[f"{name}_cpu_s"] = statistics.median(processor for _, processor in values)
    sys.exit(not report("starts", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
