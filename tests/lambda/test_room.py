"""What lambda/ may import, and that it can stand on one path with model_code/."""

import ast
import statistics
import sys
from pathlib import Path

import pytest
from fakes import ROOT

FILES = sorted((ROOT / "lambda").rglob("*.py"))
OWN = {path.stem for path in (ROOT / "lambda").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
ALLOWED = {"aws_lambda_powertools", "pydantic", *OWN, *sys.stdlib_module_names}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_stay_in_the_room(path: Path) -> None:
    assert imported(path) <= ALLOWED | ({"boto3", "botocore"} if path.name == "aws.py" else set())


def test_names_are_not_those_of_the_other_room() -> None:
    other = {path.stem for path in (ROOT / "model_code").iterdir()}
    assert OWN & other == {"contract"}
    assert not OWN & set(sys.stdlib_module_names)


def test_functions_are_short() -> None:
    trees = [ast.parse(path.read_text()) for path in FILES]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions}
    assert max(lengths.values()) <= 40, max(lengths, key=lambda name: lengths[name])
    assert statistics.median(lengths.values()) < 10
