"""Functions and folders stay small enough to read at a glance."""

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

ROOMS = (
    "bench", "cloud9", "custom_resources", "docs", "easel", "lambda", "model_code", "model_importer", "notebooks",
    "stacks", "training",
)  # fmt: skip
MAX_LINES = 40
MAX_FILES = 14
"""Source files in one folder, short of `__init__.py`."""
SOURCES = {".py", ".ts", ".vue", ".mjs", ".css"}


def functions() -> Iterator[tuple[int, str]]:
    """Yield the lines and the place of each function. The constructor of a stack or construct may be longer."""
    for file in [ROOT / "app.py", *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{file.relative_to(ROOT)}: {node.name}"
                if not where.startswith("stacks/") or node.name != "__init__":
                    yield (node.end_lineno or 0) - node.lineno + 1, where


def test_no_function_is_long() -> None:
    assert [(lines, where) for lines, where in functions() if lines > MAX_LINES] == []


def test_no_folder_is_crowded() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [Path(name) for name in listed.splitlines() if (ROOT / name).exists()]
    counts = Counter(file.parent for file in files if file.suffix in SOURCES and file.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MAX_FILES} == {}
