"""What the API adds to the model: `python -m bench.api_overhead`, half a minute.

POST /generate through gateway, worker, store, queue and dispatcher, with a container that answers at once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.laptop import machine, service, tell

CALLS = 200
TARGETS = {"median_ms": 25.0}


def measure(url: str, calls: int) -> list[float]:
    """Milliseconds of each call, after ten that are not counted."""
    took = []
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in range(calls + 10):
            began = time.perf_counter()
            http.post("/generate", json={"prompt": "a red apple"}).raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
    return took[10:]


def main() -> None:
    where = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        took = sorted(measure(running.url, CALLS))
    figures = {"median_ms": statistics.median(took), "p95_ms": took[int(len(took) * 0.95)], "max_ms": took[-1]}
    sys.exit(not tell("api_overhead", {"calls": len(took), **figures}, TARGETS, where))


if __name__ == "__main__":
    main()
