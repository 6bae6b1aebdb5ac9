"""Easel on this machine: `python -m bench.laptop [--model emoji]`, about a minute.

Measures the seconds of `easel generate --help`, until `easel up` is ready at its first and second start, and of the
first and later images by POST /generate at the default steps; and the peak memory of all its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
LATER = 5
PROMPTS = ("a red apple", "a cute panda", "a bus", "a smiling face", "一只猫", "a house")
TARGETS = {"help_s": 0.3, "second_ready_s": 5.0, "first_image_s": 6.0, "later_image_s": 3.0, "peak_mb": 2500.0}


@dataclass(frozen=True)
class Service:
    """A running `easel up`."""

    url: str
    pid: int
    ready_s: float


@contextmanager
def service(data: Path, *options: str) -> Iterator[Service]:
    """Start `easel up`, wait until it is ready, and stop it at the end."""
    port = _free_port()
    command = [sys.executable, "-m", "easel", "up", "--port", str(port), "--data", str(data), *options]
    started = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            output = ""
            while "Ready" not in output:
                line = process.stderr.readline() if process.stderr else ""
                if not line:
                    sys.exit(f"easel up ended:\n{output}")
                output += line
            threading.Thread(target=process.stderr.read if process.stderr else None, daemon=True).start()
            yield Service(f"http://127.0.0.1:{port}", process.pid, time.monotonic() - started)
        finally:
            process.terminate()


def machine() -> dict[str, Any]:
    """Return a description of this machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def report(name: str, figures: dict[str, float], targets: dict[str, float], machine: dict[str, Any]) -> bool:
    """Print the figures with their targets and write bench/results/<name>.json. Return whether all targets are met."""
    for figure, value in figures.items():
        target = f"  (target: under {targets[figure]:g})" if figure in targets else ""
        print(f"{figure:<18}{value:>10.2f}{target}")
    print("  ".join(f"{key}: {value}" for key, value in machine.items()))
    content = {"figures": figures, "targets": targets, "machine": machine}
    file = ROOT / "bench" / "results" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")
    return all(figures[figure] < target for figure, target in targets.items())


class _PeakMemory:
    """Peak memory of a process and its descendants together. Shared pages count once (PSS)."""

    def __init__(self, pid: int) -> None:
        self._process, self.peak_mb = psutil.Process(pid), 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                processes = [self._process, *self._process.children(recursive=True)]
                self.peak_mb = max(self.peak_mb, sum(_megabytes(process) for process in processes))
            except psutil.NoSuchProcess:
                return
            time.sleep(0.1)


def _megabytes(process: psutil.Process) -> float:
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0.0
    return float(getattr(memory, "pss", memory.uss)) / 2**20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _generate(url: str, prompt: str, **more: int) -> float:
    started = time.monotonic()
    httpx.post(f"{url}/generate", json={"prompt": prompt, **more}, timeout=60, trust_env=False).raise_for_status()
    return time.monotonic() - started


def _help() -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "easel", "generate", "--help"], cwd=ROOT, capture_output=True, check=True)
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji")
    model = parser.parse_args().model
    this_machine = machine()
    with tempfile.TemporaryDirectory() as folder:
        with service(Path(folder), "--model", model) as first:
            pass
        with service(Path(folder), "--model", model) as second:
            memory = _PeakMemory(second.pid)
            seconds = [_generate(second.url, prompt) for prompt in PROMPTS]
            _generate(second.url, "a red apple", num_images_per_prompt=8)
    figures = {
        "help_s": min(_help() for _ in range(5)),
        "first_ready_s": first.ready_s,
        "second_ready_s": second.ready_s,
        "first_image_s": seconds[0],
        "later_image_s": statistics.median(seconds[1:]),
        "peak_mb": memory.peak_mb,
    }
    sys.exit(not report("laptop", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
