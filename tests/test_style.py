"""Functions stay short enough to be read at a glance."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
ROOMS = ("bench", "cloud9", "easel", "lambda", "model_code", "notebooks", "stacks", "training")
LONGEST, MEDIAN = 40, 10


def functions() -> Iterator[tuple[int, str]]:
    """Lines of each, and where it is; what composes a stack may be longer."""
    for file in [ROOT / "app.py", *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{file.relative_to(ROOT)}: {node.name}"
                if not where.startswith("stacks/") or node.name != "__init__":
                    yield (node.end_lineno or 0) - node.lineno + 1, where


def test_no_function_is_long() -> None:
    assert [(lines, where) for lines, where in functions() if lines > LONGEST] == []


def test_most_are_much_shorter() -> None:
    assert median(lines for lines, _ in functions()) < MEDIAN
