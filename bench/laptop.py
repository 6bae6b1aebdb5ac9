"""Easel on this machine as its user meets it: `python -m bench.laptop [--model emoji]`, about a minute.

Seconds of `easel generate --help`; until it is ready, at the first and second start; of the first picture and of later
ones through POST /generate at the default steps. And the most memory that all its processes together had at once.
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
TARGETS = {"help_s": 0.3, "second_ready_s": 10.0, "first_picture_s": 6.0, "later_picture_s": 3.0, "peak_mb": 2500.0}


@dataclass(frozen=True)
class Service:
    """A running `easel up`."""

    url: str
    pid: int
    ready_s: float


@contextmanager
def service(data: Path, *options: str) -> Iterator[Service]:
    """Starts it, waits until it says that it is ready, and stops it as Ctrl-C does."""
    port = _free_port()
    command = [sys.executable, "-m", "easel", "up", "--port", str(port), "--data", str(data), *options]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            while "Ready" not in said:
                line = process.stderr.readline() if process.stderr else ""
                if not line:
                    sys.exit(f"easel up ended:\n{said}")
                said += line
            threading.Thread(target=process.stderr.read if process.stderr else None, daemon=True).start()
            yield Service(f"http://127.0.0.1:{port}", process.pid, time.monotonic() - began)
        finally:
            process.terminate()


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def tell(name: str, figures: dict[str, float], targets: dict[str, float], where: dict[str, Any]) -> bool:
    """Prints the figures beside their targets and writes bench/results/<name>.json. True: all are met."""
    for figure, value in figures.items():
        target = f"  (target: under {targets[figure]:g})" if figure in targets else ""
        print(f"{figure:<18}{value:>10.2f}{target}")
    print("  ".join(f"{key}: {value}" for key, value in where.items()))
    told = {"figures": figures, "targets": targets, "machine": where}
    file = ROOT / "bench" / "results" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(told, indent=2) + "\n")
    return all(figures[figure] < target for figure, target in targets.items())


class _Memory:
    """The most that a process and everything below it had at once; pages that they share are counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        self._process, self.peak_mb = psutil.Process(pid), 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.peak_mb = max(self.peak_mb, sum(_megabytes(member) for member in family))
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


def _draw(url: str, prompt: str, **more: int) -> float:
    began = time.monotonic()
    httpx.post(f"{url}/generate", json={"prompt": prompt, **more}, timeout=60, trust_env=False).raise_for_status()
    return time.monotonic() - began


def _help() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "easel", "generate", "--help"], cwd=ROOT, capture_output=True, check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji")
    model = parser.parse_args().model
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        with service(Path(folder), "--model", model) as first:
            pass
        with service(Path(folder), "--model", model) as second:
            memory = _Memory(second.pid)
            took = [_draw(second.url, prompt) for prompt in PROMPTS]
            _draw(second.url, "a red apple", num_images_per_prompt=8)
    figures = {
        "help_s": min(_help() for _ in range(5)),
        "first_ready_s": first.ready_s,
        "second_ready_s": second.ready_s,
        "first_picture_s": took[0],
        "later_picture_s": statistics.median(took[1:]),
        "peak_mb": memory.peak_mb,
    }
    sys.exit(not tell("laptop", figures, TARGETS, where))


if __name__ == "__main__":
    main()
