"""The page as a newcomer's browser meets it: `python -m bench.page`, about a minute, after `npm run build` in web/.

Medians of several first visits in headless Chromium, light and dark, English and Chinese by turns. `usable_ms`: until
the prompt can be typed and the model's sizes are there. `gzip_kb`: all that the first visit loads, as a server that
compresses sends it. `frame_ms`, `frame_p95_ms`: a frame while the page scrolls through a history of 200 pictures.
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

from bench.laptop import ROOT, machine, service, tell

LOADS = 8
PICTURES = 200
TARGETS = {"gzip_kb": 350.0, "usable_ms": 1500.0, "layout_shift": 0.1, "axe_violations": 1.0, "frame_ms": 20.0}


def measure(url: str) -> tuple[list[dict[str, Any]], list[float]]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("Chromium is needed: install it, or name it in CHROMIUM.")
    command = ["node", "bench/page.mjs", url, str(LOADS), str(PICTURES)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CHROMIUM": chromium}, stdout=subprocess.PIPE, check=True
    )
    told = json.loads(done.stdout)
    return told["runs"], told["frames"]


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
    where = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        measured = measure(running.url)
    sys.exit(not tell("page", figures(*measured), TARGETS, where))


if __name__ == "__main__":
    main()
