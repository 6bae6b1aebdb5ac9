"""The benchmark of the generation, with tiny architectures: times mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.inference import __main__ as program
from bench.inference import measure, report
from bench.inference.machine import quantiles
from bench.inference.worker import Worker, WorkerError
from tests.deploy.harness.forks.project import forked, forked_children, project_forks

ROOT = Path(__file__).parents[2]


def run(tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run the command without network, and return what it wrote."""
    file = tmp_path / "result.json"
    command = forked("-m", "bench.inference", "--tiny", "--models", str(tmp_path), "--output", str(file))
    environment = {**os.environ, **forked_children(), "https_proxy": "http://127.0.0.1:9"}
    with project_forks():
        subprocess.run([*command, *options], cwd=ROOT, check=True, env=environment, capture_output=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_command_measures_variants_in_turns(tmp_path: Path) -> None:
    """The cases of `make bench-gpu`, on a CPU and with other sizes."""
    found = run(tmp_path, "--case", *program.GPU_RUN, "--variant", "B0", "B1", "Easel", "--repeats", "2")
    assert [case["case"]["model"] for case in found["cases"]] == ["sd-1.5", "sd-1.5", "sdxl", "sd-1.5", "sd-1.5"]
    assert [case["case"]["images"] for case in found["cases"]] == [1, 1, 1, 2, 2]
    for case in found["cases"]:
        rows = case["rows"]
        assert list(rows) == ["B0", "B1", "Easel", "B1 again"]
        for row in rows.values():
            assert row["repeats"] == 2 and row["passes"] and row["psnr_db"] >= measure.PSNR_DB
            assert 0 < row["p10_s"] <= row["median_s"] <= row["p90_s"] and row["share_of_floor"] > 0
            assert all(ratio.endswith(" E") for ratio in row["ratios"].values())
        assert case["machine"]["versions"]["torch"] and case["machine"]["work_gflop"] > 0
    assert found["tail"][0]["ratio"] > 0 and found["date"] and found["machine"]["processor"]


def test_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `make bench-gpu` choose the cases that only a GPU can show."""

    def parse(*options: str) -> tuple[list[str], list[str], float]:
        monkeypatch.setattr(sys, "argv", ["bench", *options])
        found = program._arguments()
        return found.case, found.variant, found.minutes

    makefile = (ROOT / "Makefile").read_text()
    line = next(line for line in makefile.splitlines() if "-m bench.inference --gpu" in line)
    options = line.partition("-m bench.inference ")[2].replace("$(ARGS)", "").split()
    assert parse(*options) == (program.GPU_RUN, list(program.VARIANTS), program.GPU_MINUTES)
    assert parse("--case", "sdxl", "sd-1.5", "--variant", "B1") == (["sdxl", "sd-1.5"], ["B1"], 60)
    with pytest.raises(SystemExit):
        parse("--variant", "B0")


def test_a_variant_that_was_killed_says_what_to_do() -> None:
    worker = Worker("B1", "cpu")
    worker._process.kill()
    worker._process.wait()
    with pytest.raises(WorkerError, match=r"B1 was killed, .* Compare fewer at once"):
        worker.request(do="machine")
    worker.close()


def test_ratios_stay_in_their_tier() -> None:
    base = {"median_s": 2.0, "tier": "E", "dtype": "bfloat16", "passes": True}
    assert measure.ratio(base | {"median_s": 1.0}, base) == "2.00 E"
    assert measure.ratio(base | {"median_s": 4.0}, base) == "0.50 E"
    assert measure.ratio(base | {"dtype": "float32"}, base) == "1.00 N"
    assert measure.ratio(base | {"tier": "N"}, base) == "1.00 N"
    assert measure.ratio(base | {"passes": False}, base) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        ({"latents_error": 0.0149, "psnr_db": 35.0}, True),
        ({"latents_error": 0.0151, "psnr_db": 35.0}, False),
        ({"latents_error": 0.0, "psnr_db": 34.9}, False),
        ({"latents_error": float("nan"), "psnr_db": 99.0}, False),
    ],
)
def test_the_gate(error: dict[str, float], passes: bool) -> None:
    assert measure.passes(error, {"latents_error": 0.01, "psnr_db": 99.0}) is passes


def test_psnr_and_quantiles() -> None:
    black = np.zeros((1, 4, 4, 3), np.uint8)
    assert measure.psnr(black, black) == 99.0
    assert measure.psnr(black, black + 255) == 0.0
    assert measure.psnr(black, black + 1) == pytest.approx(48.13, abs=0.01)
    assert quantiles([float(value) for value in range(11)]) == {"median": 5.0, "p10": 1.0, "p90": 9.0}


def test_the_table_shows_rows_that_lose_and_variants_that_did_not_run() -> None:
    row = {
        "description": "d", "dtype": "float32", "tier": "E", "import_s": 1.0, "load_s": 1.0, "warm_up_s": 1.0,
        "median_s": 2.0, "p10_s": 1.0, "p90_s": 3.0, "latents_error": 0.5, "psnr_db": 20.0, "passes": False,
        "share_of_floor": None, "ratios": {"B1": None},
    }  # fmt: skip
    machine = {
        "device": "cpu", "abilities": [], "threads": 2, "versions": {"torch": "2"}, "work_gflop": 1.0,
        "peak_gflops": 10.0,
    }  # fmt: skip
    result = {
        "case": {"name": "case"}, "rows": {"Easel": row}, "not_run": {"OpenVINO": "no module"}, "floor_s": 0.1,
        "load": [1.0, 2.0], "machine": machine,
    }  # fmt: skip
    text = report.table(result)
    assert "5.0e-01 !" in text and "OpenVINO: not run (no module)" in text
