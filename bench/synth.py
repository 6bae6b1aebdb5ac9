"""Time of `cdk synth` in an empty environment: `python -m bench.synth [--model emoji]`, about a minute.

No credentials, AWS settings, Docker or caches. No network either, if this user may create a network namespace
(`unshare --net`); the result says which.
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

from bench.laptop import ROOT, machine, report

TARGETS = {"cold_s": 12.0, "warm_s": 12.0}


def node_only_path(folder: Path) -> Path:
    """Create a folder for PATH that has Node only."""
    folder.mkdir()
    (folder / "node").symlink_to(shutil.which("node") or sys.exit("Node is missing"))
    return folder


def unshare_command(*namespaces: str) -> list[str]:
    """Return the command that enters new namespaces (`--net`, `--mount`); empty if this user may create none."""
    unshare = shutil.which("unshare")
    for options in ([], ["--user", "--map-root-user"]):
        command = [unshare or "", *options, *namespaces]
        if unshare and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return []


def synth(command: list[str], home: Path, output: Path, path: Path) -> tuple[float, float]:
    """Return the seconds of wall-clock and of processor time."""
    environment = {"HOME": str(home), "PATH": str(path), "CDK_HOME": str(home), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    started, processor_start = time.monotonic(), _processor_seconds()
    result = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    return time.monotonic() - started, _processor_seconds() - processor_start


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji")
    model, no_network = parser.parse_args().model, unshare_command("--net")
    this_machine = {**machine(), "network": "none" if no_network else "available"}
    cdk = [str(ROOT / "node_modules" / ".bin" / "cdk"), "synth", "--quiet", "--no-notices", "-c", f"model={model}"]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        home, path = here / "home", node_only_path(here / "bin")
        home.mkdir()
        cold, warm = (synth([*no_network, *cdk], home, here / out, path) for out in ("cold", "warm"))
    figures = {"cold_s": cold[0], "warm_s": warm[0], "cold_cpu_s": cold[1], "warm_cpu_s": warm[1]}
    sys.exit(not report("synth", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
