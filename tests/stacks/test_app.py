"""The CDK app, the pins of the CDK, and the imports of the code that it deploys."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import aws_cdk
import pytest

import app
from tests.conftest import ROOT

ALLOWED = {
    "stacks": {"aws_cdk", "constructs", "cdk_nag", "stacks", "model_importer"},
    "stacks/config": {"stacks", "model_importer", "pydantic", "pydantic_core", "annotated_types"},
    "custom_resources": {"boto3", "botocore"},
    "model_importer": {"boto3", "botocore", "urllib3"},
}
"""Folder to the packages that it may import beside the standard library. Lambda and CodeBuild have boto3 only."""
SOURCES = sorted({ROOT / "app.py", *(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))})


def allowed_imports(path: Path) -> set[str]:
    folders = [folder for folder in ALLOWED if path.is_relative_to(ROOT / folder)]
    return ALLOWED[max(folders, key=len)] if folders else ALLOWED["stacks"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_are_allowed(path: Path) -> None:
    allowed = allowed_imports(path) | sys.stdlib_module_names
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        assert {name.partition(".")[0] for name in names} <= allowed


def test_only_the_app_reads_context_and_environment() -> None:
    for path in (ROOT / "stacks").rglob("*.py"):
        assert "os.environ" not in path.read_text(), path
        assert "try_get_context" not in path.read_text(), path


def test_the_command_line_is_pinned() -> None:
    """npm's latest aws-cdk, 3.0.0, cannot read assemblies of aws-cdk-lib 2."""
    package = json.loads((ROOT / "package.json").read_text())
    assert package["devDependencies"] == {"aws-cdk": "2.1148.1"}
    assert package["private"] is True
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/aws-cdk"]
    assert locked["version"] == "2.1148.1"


def test_both_requirements_files_pin_the_same_pydantic() -> None:
    files = ("requirements.txt", "requirements-laptop.txt")
    pins = [re.findall(r"^pydantic==(\S+)", (ROOT / file).read_text(), re.MULTILINE) for file in files]
    assert len(pins[0]) == 1
    assert pins[0] == pins[1]


def test_findings_stop_a_deploy() -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert context["@aws-cdk/core:validateAgainstDefaultRules"] is True
    assert context["@aws-cdk/core:target-partitions"] == ["aws", "aws-cn", "aws-us-gov"]


@pytest.mark.parametrize(("variable", "validated"), [(None, False), ("false", False), ("true", True)])
def test_templates_are_validated_on_request(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, validated: bool
) -> None:
    created: list[dict[str, bool]] = []

    def create(**options: bool) -> None:
        created.append(options)
        sys.exit()

    monkeypatch.setattr(aws_cdk, "App", create)
    monkeypatch.delenv("CDK_VALIDATION", raising=False)
    if variable:
        monkeypatch.setenv("CDK_VALIDATION", variable)
    with pytest.raises(SystemExit):
        app.main()
    assert created == [{"builtin_cloud_formation_validation": validated}]
    assert "CDK_VALIDATION=true npx cdk synth" in (ROOT / "Makefile").read_text()


@pytest.mark.slow
def test_an_invalid_setting_ends_the_app_with_one_line(tmp_path: Path) -> None:
    """As the CDK's command line runs it, with an unknown key of the user's own ~/.cdk.json and a misspelt setting."""
    (tmp_path / ".cdk.json").write_text(json.dumps({"context": {"colour": "red"}}))
    context = {"colour": "red", "instancetype": "ml.g5.xlarge"}
    environment = {**os.environ, "HOME": str(tmp_path), "CDK_CONTEXT_JSON": json.dumps(context)}
    done = subprocess.run([sys.executable, ROOT / "app.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("easel: ")
    assert "'instancetype'" in last and "'instance_type'" in last
