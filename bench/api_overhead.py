"""Time that the API adds to the model: `python -m bench.api_overhead`, half a minute.

POST /generate through gateway, store, queue and dispatcher, with a container that responds at once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.laptop import machine, report, service

REQUESTS = 200
TARGETS = {"median_ms": 25.0}


def measure(url: str, requests: int) -> list[float]:
    """Return the milliseconds of each request, after ten that are not counted."""
    times = []
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in range(requests + 10):
            started = time.perf_counter()
            http.post("/generate", json={"prompt": "a red apple"}).raise_for_status()
            times.append((time.perf_counter() - started) * 1000)
    return times[10:]


def main() -> None:
    this_machine = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        times = sorted(measure(running.url, REQUESTS))
    figures = {"median_ms": statistics.median(times), "p95_ms": times[int(len(times) * 0.95)], "max_ms": times[-1]}
    sys.exit(not report("api_overhead", {"requests": len(times), **figures}, TARGETS, this_machine))


if __name__ == "__main__":
    main()
