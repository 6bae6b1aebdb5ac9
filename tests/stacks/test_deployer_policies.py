"""The policies of `easel policies` for every variant of the stacks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.runner import Runner
from typer.testing import CliRunner

from easel import ROOT
from easel.cli import app
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES
from easel.cloud.policies.assembly import read_assembly
from easel.cloud.policies.documents import LIMIT, Statement, allow, merge, size, split
from easel.cloud.policies.files import policies_of
from easel.cloud.policies.github import ISSUER
from easel.cloud.policies.patterns import Patterns
from easel.console.errors import USAGE
from stacks.config.names import STOP_MARKER, failed_start_key
from tests.stacks import registry
from tests.stacks.assembly import Assembly, synthesise

POLICIES_OF_A_ROLE = 10
"""Managed policies that a role can have without a raised quota."""
BOUNDARY = "arn:aws:iam::123456789012:policy/easel-boundary"


def policies(assembly: Assembly) -> dict[str, list[Statement]]:
    return {end: list(statements) for end, statements in policies_of([read_assembly(assembly.folder)]).items()}


def execution(assembly: Assembly) -> list[Statement]:
    return [item for end, part in policies(assembly).items() if end.startswith("execution") for item in part]


def allowed(statements: list[Statement], action: str, resource: str) -> bool:
    """Return whether a statement without conditions allows an action. A `*` of `resource` stands for some text."""
    return any(
        fnmatchcase(action.lower(), pattern.lower())
        for statement in statements
        if any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for pattern in statement["Action"]
    )


def test_the_table_is_that_of_the_registry() -> None:
    assert registry.FILE.read_text(encoding="utf-8") == registry.render(), "run python -m tests.stacks.registry"


def test_iam_accepts_the_size_and_the_actions(each: Assembly) -> None:
    found = policies(each)
    assert {"deployer", "execution-1", "boundary"} <= found.keys()
    assert len(found) - 2 <= POLICIES_OF_A_ROLE
    for statements in found.values():
        assert 0 < size(statements) <= LIMIT
        for statement in statements:
            assert statement["Resource"]
            assert all(re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9*]+", action) for action in statement["Action"])


def test_the_execution_role_may_do_what_the_registry_lists(each: Assembly) -> None:
    types = {resource["Type"] for template in each.templates.values() for resource in template["Resources"].values()}
    unknown = {type for type in types if not type.startswith("Custom::")} - registry.registry_permissions().keys()
    assert unknown <= registry.WITHOUT_RIGHTS
    statements = execution(each)
    actions = {action for statement in statements for action in statement["Action"]}
    listed = {action for type in types for action in registry.registry_permissions().get(type, ())}
    missing = {action for action in listed - actions if not re.match(r"iam:\w*(User|Group)|kms:", action)}
    assert missing == set()
    keys = "kms_key_arn" in json.dumps(each.templates) or ":kms:" in json.dumps(each.templates)
    assert any(action.startswith("kms:") for action in actions) is keys


def test_the_execution_role_may_change_only_roles_functions_and_buckets_of_the_stacks(default: Assembly) -> None:
    statements = execution(default)
    for service in ("iam", "lambda", "s3", "sns", "sqs"):
        for statement in statements:
            if any(action.startswith(f"{service}:") and not read_only(action) for action in statement["Action"]):
                for resource in statement["Resource"]:
                    name = resource.rsplit(":", 1)[-1].removeprefix("role/").lower()
                    assert name.startswith(("easel", "cdk-hnb659fds-assets", "aws-service-role")) or name == "*"
    assert not allowed(statements, "iam:CreateRole", "arn:aws:iam::123456789012:role/Admin")
    assert not allowed(statements, "iam:PassRole", "arn:aws:iam::123456789012:role/Admin")
    assert not allowed(statements, "s3:GetObject", "arn:aws:s3:::payroll/2026.csv")


def test_the_execution_role_may_change_mappings_of_queues_where_there_are_some(
    default: Assembly, hub: Assembly
) -> None:
    """Their ids are random, and belong to no stack by name."""
    arn = "arn:aws:lambda:us-east-1:123456789012:event-source-mapping:01234567-89ab-cdef-0123-456789abcdef"
    for action in (
        "lambda:GetEventSourceMapping",
        "lambda:UpdateEventSourceMapping",
        "lambda:DeleteEventSourceMapping",
    ):
        assert allowed(execution(hub), action, arn)
        assert not allowed(execution(default), action, arn)


def test_the_execution_role_reads_the_secret_of_a_provider(default: Assembly, hub: Assembly) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:easel-sign-in-a1B2c3"
    assert allowed(execution(hub), "secretsmanager:GetSecretValue", arn)
    assert not allowed(execution(hub), "secretsmanager:GetSecretValue", arn.replace("easel-", "other-"))
    assert not allowed(execution(default), "secretsmanager:GetSecretValue", arn)


def read_only(action: str) -> bool:
    """Return whether an action only reads, or is one that AWS authorises on `*` only."""
    return action in registry.unscoped(registry.registry_permissions()) or bool(re.match(r"\w+:(Get|List)", action))


def test_the_execution_role_may_read_parameters_and_outputs_of_other_stacks(default: Assembly) -> None:
    statements = execution(default)
    assert allowed(statements, "ssm:GetParameters", "arn:aws:ssm:*:*:parameter/cdk-bootstrap/hnb659fds/version")
    for stack in set(re.findall(r'"StackName": "(\w+)"', json.dumps(default.templates))):
        assert allowed(statements, "cloudformation:DescribeStacks", f"arn:aws:cloudformation:*:*:stack/{stack}/1")
    assert allowed(statements, "lambda:InvokeFunction", "arn:aws:lambda:*:*:function:EaselModel-Handler")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Assembly:
    """Stacks whose roles have a permissions boundary."""
    settings = {"instance_type": "ml.m5.large", "permissions_boundary": "easel-boundary"}
    env = ("123456789012", "us-east-1")
    return synthesise(tmp_path_factory.mktemp("limited"), catalogue, settings, env)


def test_every_role_has_the_boundary(limited: Assembly) -> None:
    patterns = Patterns(read_assembly(limited.folder))
    roles = limited.properties("AWS::IAM::Role")
    assert {patterns.resolve(role["PermissionsBoundary"], "EaselApi") for role in roles} == {BOUNDARY}


def test_roles_are_created_only_with_the_boundary(limited: Assembly) -> None:
    for statement in execution(limited):
        if {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} & set(statement["Action"]):
            assert statement["Condition"] == {"StringLike": {"iam:PermissionsBoundary": [BOUNDARY]}}
        assert "iam:DeleteRolePermissionsBoundary" not in statement["Action"]


def test_the_boundary_allows_what_the_roles_are_allowed(each: Assembly) -> None:
    assembly = read_assembly(each.folder)
    patterns, boundary = Patterns(assembly), policies(each)["boundary"]
    for stack, action, resource in grants(each):
        pattern = patterns.resolve(resource, stack)
        assert allowed(boundary, action.replace("*", "x"), pattern), (action, pattern)


def grants(assembly: Assembly) -> Iterator[tuple[str, str, Any]]:
    """Yield stack, action and resource of everything that the roles' policies allow."""
    for stack, template in assembly.templates.items():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            documents = [properties["PolicyDocument"]] if resource["Type"] == "AWS::IAM::Policy" else []
            if resource["Type"] == "AWS::IAM::Role":
                documents += [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
            assert "ManagedPolicyArns" not in properties, "the boundary does not read managed policies"
            for statement in [item for document in documents for item in document["Statement"]]:
                for action in as_list(statement["Action"]):
                    for value in as_list(statement["Resource"]):
                        yield stack, action, value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_the_boundary_stays_the_same_with_new_code_and_another_instance_type(default: Assembly) -> None:
    text = json.dumps(policies(default)["boundary"])
    assert not re.search(r"[0-9a-f]{64}", text)
    assert not re.search(r"(async|realtime)[0-9a-f]{6}", text)
    assert "iam:" not in text.replace('"arn:aws:iam:', "")


def test_the_boundary_allows_what_a_buckets_policy_allows_a_role(default: Assembly) -> None:
    assert allowed(policies(default)["boundary"], "s3:DeleteObjectVersion", "arn:aws:s3:::easelstorage-store-1/jobs/1")


# --- the deployer -----------------------------------------------------------------------------------

IAM_NAMES = {
    "resourcegroupstaggingapi": "tag", "service-quotas": "servicequotas",
    "s3:list_buckets": "s3:ListAllMyBuckets", "s3:head_object": "s3:GetObject", "s3:list_objects_v2": "s3:ListBucket",
    "s3:get_bucket_encryption": "s3:GetEncryptionConfiguration", "budgets:describe_budgets": "budgets:ViewBudget",
    "lambda:get_layer_version_by_arn": "lambda:GetLayerVersion",
}  # fmt: skip
"""boto3's name of a service or an operation to IAM's, where they differ."""
NO_RIGHT_NEEDED = {"sts:get_caller_identity", "s3:head_object"}
"""Allowed to everybody; and the model's own bucket, which may belong to another team."""


def calls() -> set[str]:
    """Return `service:operation` of the calls in easel/cloud/, by the names of boto3's methods."""
    found = {f"{row.listing[0]}:{row.listing[1]}" for row in RESOURCE_TYPES}
    session = boto3.Session()
    for path in (ROOT / "easel" / "cloud").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        names = texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        for service in texts & set(session.get_available_services()) if path.name != "resource_types.py" else ():
            operations = session._session.get_service_model(service).operation_names
            found |= {f"{service}:{name}" for name in map(xform_name, operations) if name in names}
    return found


def action_of(call: str) -> str:
    service, _, operation = call.partition(":")
    if service == "apigateway":
        return "apigateway:GET"
    name = {xform_name(name): name for name in boto3.Session()._session.get_service_model(service).operation_names}
    return IAM_NAMES.get(call, f"{IAM_NAMES.get(service, service)}:{name[operation]}")


def test_the_deployer_may_call_what_the_commands_call(default: Assembly) -> None:
    found = calls() - NO_RIGHT_NEEDED
    assert {"cloudformation:describe_stacks", "sagemaker:create_endpoint", "apigateway:get_api_key"} <= found
    actions = {action.lower() for statement in policies(default)["deployer"] for action in statement["Action"]}
    assert {call for call in found if action_of(call).lower() not in actions} == set()


def test_the_deployer_has_no_right_of_the_execution_role(default: Assembly) -> None:
    statements = policies(default)["deployer"]
    for action in ("iam:PassRole", "iam:CreateRole", "iam:PutRolePolicy", "lambda:CreateFunction"):
        assert not allowed(statements, action, "arn:aws:iam::*:role/EaselApi-x")
    assert not allowed(statements, "s3:GetObject", "arn:aws:s3:::easelstorage-store-1/jobs/1")
    for key in (STOP_MARKER, failed_start_key("easel-async4bd25b")):
        assert allowed(statements, "s3:GetObject", f"arn:aws:s3:::easelstorage-store-1/{key}")
    (assumed,) = [item["Resource"] for item in statements if "sts:AssumeRole" in item["Action"]]
    roles = {re.sub(r".*cdk-hnb659fds-([a-z-]+)-role-.*", r"\1", role) for role in assumed}
    assert roles == {"deploy", "file-publishing", "lookup"}


# --- files ------------------------------------------------------------------------------------------


def test_several_folders_give_the_rights_for_all(default: Assembly, hub: Assembly) -> None:
    both = policies_of([read_assembly(default.folder), read_assembly(hub.folder)])
    actions = {action for statements in both.values() for statement in statements for action in statement["Action"]}
    assert "codebuild:CreateProject" in actions
    assert {action for statement in execution(default) for action in statement["Action"]} <= actions


def test_the_command_writes_the_policies(default: Assembly, tmp_path: Path) -> None:
    (tmp_path / "easel-execution-9.json").write_text("old")
    result = CliRunner().invoke(app, ["policies", str(default.folder), "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    written = {path.stem.removeprefix("easel-"): json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert {end: document["Statement"] for end, document in written.items()} == policies(default)
    assert "easel-execution-1,arn:aws:iam::ACCOUNT:policy/easel-execution-2" in result.output
    assert "-c permissions_boundary=easel-boundary" in result.output


@pytest.mark.parametrize("repository", ["octo-org/octo.repo", "octo-org@12/octo.repo@345"])
def test_a_workflow_gets_the_deployers_rights_by_its_token_only(
    default: Assembly, tmp_path: Path, repository: str
) -> None:
    options = ("--github", repository, "--environment", "test", "-o", str(tmp_path))
    result = CliRunner().invoke(app, ["policies", str(default.folder), *options])
    assert result.exit_code == 0, result.output
    path = tmp_path / "easel-github.json"
    deploy, diff = (json.loads(path.read_text())["Resources"][name]["Properties"] for name in ("Deploy", "Diff"))
    for role, subject in ((deploy, "environment:test"), (diff, "pull_request")):
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert trust["Condition"] == {
            "StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": f"repo:{repository}:{subject}"}
        }
    assert deploy["Policies"][0]["PolicyDocument"]["Statement"] == policies(default)["deployer"]
    (statement,) = diff["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["sts:AssumeRole"]
    assert all("-lookup-role-" in role for role in statement["Resource"])
    assert statement["Resource"]
    arguments = ManualArgs(regions=["us-east-1"], templates=[str(path)])
    assert [str(match) for match in Runner(ConfigMixIn(**arguments)).run()] == []


@pytest.mark.parametrize(
    "options",
    [["--github", "octo"], ["--github", "octo/*"], ["--github", "octo/x:ref"],
     ["--github", "octo/x", "--environment", "a:b"], ["--github", "octo/x", "--environment", "*"]],
)  # fmt: skip
def test_what_would_widen_the_trust_is_refused(default: Assembly, tmp_path: Path, options: list[str]) -> None:
    result = CliRunner().invoke(app, ["policies", str(default.folder), "-o", str(tmp_path), *options])
    assert result.exit_code == USAGE
    assert list(tmp_path.iterdir()) == []


def test_without_templates_the_command_names_cdk_synth(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["policies", str(tmp_path / "none")])
    assert (result.exit_code, "cdk synth" in result.stderr) == (USAGE, True)


def test_split_keeps_every_right() -> None:
    statements = [allow([f"s3:Action{number}" for number in range(99)], [f"arn:aws:s3:::{name}"]) for name in "ab"]
    parts = list(split(statements, limit=1000))
    assert len(parts) > 2
    assert max(map(size, parts)) <= 1000
    assert merge(item for part in parts for item in part) == merge(statements)
