"""Imports of easel/cloud: nothing that needs the CDK, and boto3 only when a command runs."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from easel.cloud import doc_pages
from tests.easel.running import ROOT

FILES = sorted((ROOT / "easel/cloud").rglob("*.py"))
CDK = {"aws_cdk", "constructs", "cdk_nag"}


def imported_modules(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the modules that these import statements name."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_file(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def test_easel_cloud_reads_only_what_needs_no_cdk_from_stacks() -> None:
    modules = {name for file in FILES for name in imported_modules(ast.walk(ast.parse(file.read_text())))}
    seen: set[str] = set()
    while modules := {name for name in modules if name.startswith("stacks.") and module_file(name)} - seen:
        seen |= modules
        files = [file for name in modules if (file := module_file(name))]
        modules = {name for file in files for name in imported_modules(ast.walk(ast.parse(file.read_text())))}
        assert not {name for name in modules if name.split(".")[0] in CDK}
    assert seen
    assert all(name.startswith("stacks.config") for name in seen)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_boto3_is_imported_only_when_a_command_runs(file: Path) -> None:
    roots = {name.split(".")[0] for name in imported_modules(ast.parse(file.read_text()).body)}
    assert not roots & {"boto3", "botocore"}


def test_help_imports_neither_boto3_nor_the_cloud_commands() -> None:
    program = (
        "import sys, easel.cli; loaded = {'boto3', 'botocore', 'easel.cloud.account', 'easel.cloud.doctor.run'}; "
        "sys.exit(' '.join(loaded & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert process.stderr.strip() == ""


@pytest.mark.parametrize("page", [value for name, value in vars(doc_pages).items() if name.isupper()])
def test_pages_that_messages_name_exist(page: str) -> None:
    """A generated page has a template, with the suffix `.in`."""
    assert (ROOT / page).exists() or (ROOT / f"{page}.in").exists()
