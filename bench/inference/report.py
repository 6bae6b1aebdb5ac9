"""The table of a case, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("", "s/request", "p10", "p90", "× B0", "× B1", "floor", "latents", "PSNR", "import", "load", "warm-up")


def cells(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a row, in the order of `COLUMNS`."""
    share, ratios = row["share_of_floor"], row["ratios"]
    return (
        name,
        f"{row['median_s']:.3f}",
        f"{row['p10_s']:.3f}",
        f"{row['p90_s']:.3f}",
        *(ratios.get(base) or "–" for base in ("B0", "B1")),
        "–" if share is None else f"{share:.0%}",
        f"{row['latents_error']:.1e}{'' if row['passes'] else ' !'}",
        f"{row['psnr_db']:.1f}",
        f"{row['import_s']:.1f}",
        f"{row['load_s']:.1f}",
        f"{row['warm_up_s']:.1f}",
    )


def table(result: Mapping[str, Any]) -> str:
    """Return the table with what it was measured on."""
    machine, rows = result["machine"], [COLUMNS, *(cells(name, row) for name, row in result["rows"].items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines += [f"{name}: not run ({reason})" for name, reason in result["not_run"].items()]
    descriptions = "; ".join(f"{name} {row['description']}, {row['dtype']}" for name, row in result["rows"].items())
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    return "\n".join([
        f"\n{result['case']['name']} on {machine['device']} ({', '.join(machine['abilities'])}), "
        f"{machine['threads']} threads, load {result['load'][0]:.1f} to {result['load'][1]:.1f}",
        *lines,
        descriptions,
        "E: same dtype, errors within rounding. N: another dtype or engine. !: fails the comparison with float32.",
        f"floor: {machine['work_gflop']:.0f} GFLOP at {machine['peak_gflops']:.0f} GFLOP/s of matrix products, "
        f"{result['floor_s']:.3f} s",
        versions,
    ])  # fmt: skip
