"""Imports of lambda/, and that it can be on the same path as model_code/."""

import ast
import sys
from pathlib import Path

import pytest
from fakes import ROOT

LAMBDA = ROOT / "lambda"
FILES = sorted(LAMBDA.rglob("*.py"))
OWN = {path.stem for path in LAMBDA.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
ALLOWED = {"aws_lambda_powertools", "pydantic", *OWN, *sys.stdlib_module_names}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LAMBDA)))
def test_only_the_aws_package_imports_boto3(path: Path) -> None:
    sdks = {"boto3", "botocore", "aws_xray_sdk"}
    assert imported(path) <= ALLOWED | (sdks if path.parent == LAMBDA / "aws" else set())


def test_module_names_differ_from_those_of_model_code() -> None:
    other = {path.stem for path in (ROOT / "model_code").iterdir()}
    assert OWN & other == {"contract"}
    assert not OWN & set(sys.stdlib_module_names)
