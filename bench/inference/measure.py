"""The measurement of one case: variants in turns, then the errors of each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.inference.cases import PROMPTS, Case
from bench.inference.machine import quantiles
from bench.inference.worker import Worker, WorkerError

AGAIN = "B1 again"
"""The baseline, timed twice in each turn: how far the two are apart is the noise of the machine."""
Progress = Callable[[str], None]
PSNR_DB = 35.0
ERROR_RATIO = 1.5
EXACT = 1e-4
"""Relative error of latents that is rounding in float32."""


class Workers:
    """The processes of the variants. Those of one case are loaded at the same time."""

    def __init__(self, device: str) -> None:
        self._device, self._started = device, dict[str, Worker]()

    def load(self, name: str, folder: Path, case: Case) -> Worker:
        """Return the worker of a variant, loaded and warm. Raises WorkerError."""
        worker = self._started.get(name) or Worker(name, self._device)
        self._started[name] = worker
        try:
            worker.load(folder, case)
        except WorkerError:
            self._started.pop(name).close()
            raise
        return worker

    def unload(self) -> None:
        for worker in self._started.values():
            worker.unload()

    def close(self) -> None:
        for worker in self._started.values():
            worker.close()


def measure(
    workers: Workers, case: Case, names: list[str], folder: Path, repeats: int, end: float, progress: Progress
) -> dict[str, Any]:
    """Return the result of a case. Turns end after `repeats`, or at `end` on time.monotonic()."""
    loaded, refused = dict[str, Worker](), dict[str, str]()
    for name in names:
        progress(f"{case.name}: loading {name}")
        try:
            loaded[name] = workers.load(name, folder, case)
        except WorkerError as error:
            refused[name] = str(error)
    seconds, loads = _time(loaded, repeats, end, progress)
    machine = loaded["B1"].request(do="machine")
    progress("comparing with float32")
    reference = loaded.get("B0")
    if reference is None or reference.ready["dtype"] != "float32":
        reference = workers.load("reference", folder, case)
    errors = _errors(reference, loaded)
    workers.unload()
    return _result(case, loaded, refused, seconds, loads, errors, machine)


def _time(
    workers: Mapping[str, Worker], repeats: int, end: float, progress: Progress
) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seconds of each variant and the load averages. Each turn has the reverse order of the turn before."""
    order = [*workers, AGAIN]
    seconds, loads = {name: list[float]() for name in order}, list[float]()
    for turn in range(repeats):
        if turn and time.monotonic() > end:
            break
        progress(f"turn {turn + 1} of {repeats}")
        for name in order if turn % 2 == 0 else reversed(order):
            worker = workers["B1" if name == AGAIN else name]
            response = worker.request(do="time", prompt=PROMPTS[turn % len(PROMPTS)], seed=turn)
            seconds[name].append(response["seconds"])
            loads.append(response["load"])
    return seconds, loads


def _errors(reference: Worker, workers: Mapping[str, Worker]) -> dict[str, dict[str, float]]:
    """Return for each variant the relative error of its latents, and the PSNR of its pixels to B1's.

    The reference is the plain pipeline in float32 with the same noise, so a variant in another dtype has its own.
    """
    noises = {name: str(worker.ready["dtype"]) for name, worker in workers.items()}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "checked.npz"

        def check(worker: Worker, noise: str) -> tuple[Any, Any]:
            worker.request(do="check", prompt=PROMPTS[0], seed=7, noise=noise, file=str(file))
            with np.load(file) as arrays:
                return arrays["latents"], arrays["pixels"]

        references = {noise: check(reference, noise) for noise in set(noises.values())}
        found = {name: check(worker, noises[name]) for name, worker in workers.items()}
    errors = {}
    for name, (latents, pixels) in found.items():
        own_latents, own_pixels = references[noises[name]]
        other_pixels = found["B1"][1] if noises[name] == noises["B1"] else own_pixels
        error = np.linalg.norm(latents - own_latents) / np.linalg.norm(own_latents)
        errors[name] = {"latents_error": float(error), "psnr_db": psnr(pixels, other_pixels)}
    return errors


def psnr(left: Any, right: Any) -> float:
    """Return dB; 99 for equal pixels."""
    difference = float(np.mean((left.astype(np.float64) - right.astype(np.float64)) ** 2))
    return 99.0 if difference == 0 else float(10 * np.log10(255**2 / difference))


def passes(error: Mapping[str, float], baseline: Mapping[str, float]) -> bool:
    """Return whether a variant may be compared in tier E."""
    limit = max(ERROR_RATIO * baseline["latents_error"], EXACT)
    return bool(error["latents_error"] <= limit and error["psnr_db"] >= PSNR_DB)


def _result(
    case: Case,
    workers: Mapping[str, Worker],
    refused: Mapping[str, str],
    seconds: Mapping[str, list[float]],
    loads: list[float],
    errors: Mapping[str, Mapping[str, float]],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    floor_s = machine["work_gflop"] / machine["peak_gflops"]
    rows = {}
    for name, values in seconds.items():
        known = "B1" if name == AGAIN else name
        ready = workers[known].ready
        figures = quantiles(values)
        rows[name] = {
            **{key: ready[key] for key in ("description", "dtype", "tier", "import_s", "load_s", "warm_up_s")},
            **{f"{key}_s": value for key, value in figures.items()},
            "repeats": len(values),
            **errors[known],
            "passes": passes(errors[known], errors["B1"]),
            "share_of_floor": floor_s / figures["median"] if ready["dtype"] == workers["B1"].ready["dtype"] else None,
        }
    for row in rows.values():
        row["ratios"] = {base: ratio(row, rows[base]) for base in ("B0", "B1") if base in rows}
    return {
        "case": {**case.fields(), "name": case.name},
        "rows": rows,
        "not_run": dict(refused),
        "floor_s": floor_s,
        "load": [min(loads), max(loads)],
        "machine": dict(machine),
    }


def ratio(row: Mapping[str, Any], base: Mapping[str, Any]) -> str | None:
    """Return how many times as fast as the baseline, with the tier; None if the error is too large for any.

    E: the same dtype and within the errors of rounding. N: another dtype or another engine; the error is in its row.
    """
    value = base["median_s"] / row["median_s"]
    if row["tier"] == "E" and row["dtype"] == base["dtype"]:
        return f"{value:.2f} E" if row["passes"] else None
    return f"{value:.2f} N"
