"""The examples of docs/how-to/python-client.md run against a laptop, one after another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("browser")  # shares the running Easel of tests/web

PAGE = (ROOT / "docs/how-to/python-client.md").read_text(encoding="utf-8")


def test_the_examples_run(easel: str, tmp_path: Path) -> None:
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "EASEL_URL": easel, "EASEL_KEY": ""}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"apple-7.png", "apple-8.png"}
    assert "succeeded (7,)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("width not_multiple_of_8")
