"""The composition root, the pins of the CDK, and the rules of the room."""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import ROOT

ALLOWED = {"aws_cdk", "constructs", "cdk_nag", "stacks"}
SHIPPED = {"boto3", "botocore", "urllib3"}
"""What Lambda and CodeBuild have: boto3 and what it brings."""
SOURCES = sorted([ROOT / "app.py", *(ROOT / "stacks").rglob("*.py")])


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def length(function: ast.FunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_room_imports_what_it_may(path: Path) -> None:
    shipped = SHIPPED if "custom" in path.parts else ALLOWED
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        tops = {name.partition(".")[0] for name in names}
        assert tops <= shipped | sys.stdlib_module_names, tops


def test_functions_are_short() -> None:
    lengths = {f"{path.name}:{f.name}": length(f) for path in SOURCES for f in functions(path)}
    assert statistics.median(lengths.values()) < 10
    long = {name for name, lines in lengths.items() if lines > 40 and not name.endswith(":__init__")}
    assert long == set()


def test_the_app_alone_reads_context_and_environment() -> None:
    for path in (path for path in SOURCES[1:] if "custom" not in path.parts):
        assert "os.environ" not in path.read_text(), path
        assert "try_get_context" not in path.read_text(), path


def test_the_command_line_is_pinned() -> None:
    """npm's latest aws-cdk, 3.0.0, is an accident that cannot read our assemblies."""
    package = json.loads((ROOT / "package.json").read_text())
    assert package["devDependencies"] == {"aws-cdk": "2.1148.1"}
    assert package["private"] is True
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/aws-cdk"]
    assert locked["version"] == "2.1148.1"


def test_findings_stop_a_deploy() -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert context["@aws-cdk/core:validateAgainstDefaultRules"] is True
    assert context["@aws-cdk/core:target-partitions"] == ["aws", "aws-cn", "aws-us-gov"]


def test_a_wrong_setting_is_one_sentence() -> None:
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps({"instancetype": "ml.g5.xlarge"})}
    done = subprocess.run([sys.executable, ROOT / "app.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == ("easel: 'instancetype' is not a setting. Did you mean 'instance_type'?")
