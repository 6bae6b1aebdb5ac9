"""The page about performance, from the results of `bench/inference`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.inference.report import COLUMNS, cells

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
MARK = "<!-- results -->"


def performance_page() -> str:
    """Return the page with a section for each measured case."""
    text = (ROOT / "docs" / "explanation" / "performance.md.in").read_text(encoding="utf-8")
    files = sorted(RESULTS.glob("inference-*.json"))
    return text.replace(MARK, "\n\n".join(_machine(json.loads(file.read_text(encoding="utf-8"))) for file in files))


def _machine(content: Mapping[str, Any]) -> str:
    cases, machine = content["cases"], content["machine"]
    device = cases[0]["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in device["versions"].items())
    abilities = "".join(f"{', '.join(names)}; " for names in [device["abilities"]] if names)
    name = machine["processor"] if device["device"] == "cpu" else device["device"]
    parts = [
        f"## {name}, {content['date']}",
        f"{abilities}{machine['cores']} cores, {machine['memory_gb']:g} GB; Python {device['python']}, {versions}.",
        *([content["note"]] if "note" in content else []),
        *(_case(case) for case in cases),
        _tail(content["tail"]),
    ]
    return "\n\n".join(parts)


def _case(case: Mapping[str, Any]) -> str:
    rows, device, name = case["rows"], case["machine"], case["case"]["name"]
    lines = [_row(["", *COLUMNS[1:]]), _row(["---"] * len(COLUMNS)), *(_row(cells(*row)) for row in rows.items())]
    names = ", ".join(f'"{row}"' for row in rows)
    medians = [round(row["median_s"], 3) for row in rows.values()]
    repeats = min(row["repeats"] for row in rows.values())
    plot = [
        "```mermaid", "xychart-beta horizontal", f'    title "{name}: seconds of a request"', f"    x-axis [{names}]",
        f'    y-axis "s" 0 --> {max(medians) * 1.1:.2g}', f"    bar [{', '.join(map(str, medians))}]", "```",
    ]  # fmt: skip
    about = (
        f"Seconds of a request, {repeats} turns, load {case['load'][0]:.1f} to {case['load'][1]:.1f}. The floor is "
        f"{case['floor_s']:.2f} s: {device['work_gflop']:.0f} GFLOP at {device['peak_gflops']:.0f} GFLOP/s."
    )
    not_run = [f"{row} did not run: {reason}." for row, reason in case["not_run"].items()]
    return "\n\n".join([f"### {name}", about, "\n".join(plot), "\n".join(lines), *not_run])


def _tail(results: list[Mapping[str, Any]]) -> str:
    head = ["PNG", "Pillow's default", "Easel", "ratio", "size"]
    rows = [
        [
            f"{item['side']}×{item['side']}",
            *(f"{item['ms'][name]:.1f} ms" for name in ("pillow", "easel")),
            f"{item['ratio']:.0f}",
            f"{item['bytes']['easel'] / item['bytes']['pillow'] - 1:+.0%}",
        ]
        for item in results
    ]
    return "\n".join(["### PNG of a photograph", "", *map(_row, [head, ["---"] * len(head), *rows])])


def _row(values: Any) -> str:
    return f"| {' | '.join(values)} |"
