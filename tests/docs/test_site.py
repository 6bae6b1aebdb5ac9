"""The command of `make docs` builds the site, and fails for what readers could not find."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMMAND = re.findall(r"\$\(BIN\)/(mkdocs build.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the Makefile in `folder`."""
    (command,) = COMMAND
    return subprocess.run(
        [sys.executable, "-m", *command.split(), *options],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


def test_the_site_builds(tmp_path: Path) -> None:
    done = build(ROOT, "--site-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "zh/tutorials/laptop/index.html").exists()


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("index.md", "# Easel", 0),
        ("index.md", "[A dead link](missing.md)", 1),
        ("index.md", "[A dead anchor](#missing)", 1),
        ("outside.md", "# A page that the navigation lacks", 1),
    ],
)
def test_the_build_fails_for_a_fault(name: str, text: str, status: int, tmp_path: Path) -> None:
    settings = {"INHERIT": ROOT / "mkdocs.yml", "docs_dir": "docs", "site_dir": "site", "nav": "[index.md]"}
    (tmp_path / "mkdocs.yml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()), "utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Easel")
    (tmp_path / "docs" / name).write_text(text)
    done = build(tmp_path)
    assert done.returncode == status, done.stderr
