"""The examples of docs/reference/api.md run against a laptop, as one session a language."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("browser")  # shares the running Easel of tests/web

PAGE = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
ROUTES = re.findall(r"^## ((?:GET|POST|DELETE) /\S+)$", PAGE, re.MULTILINE)


def session(language: str) -> str:
    """Return all blocks of one language in the order of the page."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_each_route_has_an_example_in_each_language() -> None:
    sections = dict(re.findall(r"^## (\S+ /\S+)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
    assert len(ROUTES) == 10
    for route in ROUTES:
        assert {"sh", "python", "js"} <= set(re.findall(r"^```(\w+)$", sections[route], re.MULTILINE)), route


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_the_examples_run(language: str, easel: str, tmp_path: Path) -> None:
    program = tmp_path / {"sh": "example.sh", "python": "example.py", "js": "example.mjs"}[language]
    program.write_text(("set -euo pipefail\n" if language == "sh" else "") + session(language), encoding="utf-8")
    command = {"sh": "bash", "python": sys.executable, "js": "node"}[language]
    environment = {**os.environ, "EASEL_URL": f"{easel}/", "EASEL_KEY": ""}
    done = subprocess.run(
        [command, str(program)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")
    output = done.stdout if language != "sh" else done.stdout + (tmp_path / "openapi.json").read_text()
    for expected in ("succeeded", "emoji", "job_finished"):
        assert expected in output
