"""`easel/cloud/` stands on what a laptop has and boto3: of stacks/ it takes only what needs no CDK."""

import ast
from pathlib import Path

from tests.easel.running import ROOT


def imported(path: Path) -> set[str]:
    """Modules that a file names in its imports, at whatever depth."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_what_it_takes_of_the_stacks_needs_no_cdk() -> None:
    todo = {name for path in (ROOT / "easel/cloud").glob("*.py") for name in imported(path)}
    seen: set[str] = set()
    while todo := {name for name in todo if name.startswith("stacks")} - seen:
        seen |= todo
        todo = set().union(*(imported(ROOT / f"{name.replace('.', '/')}.py") for name in todo))
        assert not {name for name in todo if name.split(".")[0] in ("aws_cdk", "constructs", "cdk_nag")}
    assert {
        "stacks.config.settings",
        "stacks.config.catalogue",
        "stacks.config.prices",
        "stacks.config.instances",
    } <= seen


def test_boto3_is_imported_when_a_command_runs_and_not_before() -> None:
    for path in (ROOT / "easel/cloud").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            named |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert not {name for name in named if name.split(".")[0] in ("boto3", "botocore")}, path.name
