"""Generated model folders with the serving image's versions. See `tests/model_code/generated_folders.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.deploy.harness.environment import ROOT
from tests.parity.environment import VENV

MODULE = "tests.model_code.generated_folders"
IMAGE_PYTHON = VENV / "bin" / "python"


def checks(scratch: Path) -> list[dict[str, Any]]:
    """Return a check for the pipelines of each of the two sets of versions."""
    savers = {"the laptop's versions save": sys.executable, "the image's versions save": str(IMAGE_PYTHON)}
    return [_check(text, python, scratch / f"folders-{number}") for number, (text, python) in enumerate(savers.items())]


def _check(text: str, python: str, scratch: Path) -> dict[str, Any]:
    scratch.mkdir(parents=True)
    _run(python, "-c", f"import sys, {MODULE} as m; m.save_pipelines(m.Path(sys.argv[1]))", str(scratch / "saved"))
    _run(str(IMAGE_PYTHON), "-m", MODULE, str(scratch / "saved"), str(scratch / "result.json"))
    result = json.loads((scratch / "result.json").read_text())
    wrong = [f"{name}: {reason}" for name, reason in result["differences"].items()]
    observed = f"{result['folders']} folders, {len(wrong)} differ" + "".join(f"; {line}" for line in wrong[:5])
    text = f"Of model folders that {text}, the image loads exactly those that the check accepts."
    return {"check": text, "observed": observed, "passed": not wrong}


def _run(*command: str) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "model_code")])
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.DEVNULL)
