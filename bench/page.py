"""The page in a new user's browser: `python -m bench.page`, about a minute, after `npm run build` in web/.

Medians of several first visits in headless Chromium, light and dark, English and Chinese in turn. `usable_ms`: until
the prompt field and the model's sizes are there. `gzip_kb`: all files of the first visit, compressed. `frame_ms`,
`frame_p95_ms`: a frame while the page scrolls through a history of 200 images.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.laptop import ROOT, machine, report, service

LOADS = 8
IMAGES = 200
TARGETS = {"gzip_kb": 350.0, "usable_ms": 1500.0, "layout_shift": 0.1, "axe_violations": 1.0, "frame_ms": 20.0}


def measure(url: str) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the measurements of each visit and the milliseconds of each frame."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("Chromium is needed: install it, or name it in CHROMIUM.")
    command = ["node", "bench/page.mjs", url, str(LOADS), str(IMAGES)]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CHROMIUM": chromium}, stdout=subprocess.PIPE, check=True
    )
    output = json.loads(result.stdout)
    return output["runs"], output["frames"]


def figures(runs: list[dict[str, Any]], frames: list[float]) -> dict[str, float]:
    def median(name: str) -> float:
        return statistics.median(float(run[name]) for run in runs)

    return {
        "requests": median("requests"),
        "gzip_kb": median("gzipped") / 1024,
        "usable_ms": median("usable"),
        "largest_paint_ms": median("largest"),
        "blocked_ms": median("blocked"),
        "layout_shift": max(run["shift"] for run in runs),
        "axe_violations": max(run["violations"] for run in runs),
        "axe_passes": median("passes"),
        "frame_ms": statistics.median(frames),
        "frame_p95_ms": statistics.quantiles(frames, n=20)[-1],
    }


def main() -> None:
    this_machine = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        measured = measure(running.url)
    sys.exit(not report("page", figures(*measured), TARGETS, this_machine))


if __name__ == "__main__":
    main()
