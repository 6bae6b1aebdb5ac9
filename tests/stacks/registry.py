"""Permissions that CloudFormation needs of its role, by resource type, from the registry's schemas that cfn-lint ships.

`python -m tests.stacks.registry` writes easel/cloud/policies/permissions.json, so that users need no cfn-lint.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from easel import ROOT
from easel.cloud.leftovers.resource_types import PARTS, RESOURCE_TYPES

FILE = ROOT / "easel" / "cloud" / "policies" / "permissions.json"
WITHOUT_RIGHTS = {"AWS::CDK::Metadata", "AWS::CloudFormation::Stack"}
"""Types that create nothing, and stacks, which the CDK's deploy role creates."""
MORE = {
    # The schema of CodeBuild's type has no handlers. Its API has one action for each operation.
    "AWS::CodeBuild::Project": [
        "codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:DeleteProject", "codebuild:UpdateProject",
        "iam:PassRole",
    ],
    # https://docs.aws.amazon.com/sagemaker/latest/dg/api-permissions-reference.html: with a KMS key.
    "AWS::SageMaker::Endpoint": ["kms:CreateGrant", "kms:DescribeKey"],
    "AWS::SageMaker::NotebookInstance": ["kms:CreateGrant", "kms:DescribeKey"],
    # https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html
    "AWS::ApplicationAutoScaling::ScalableTarget": [
        "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    ],
}  # fmt: skip
"""What the schemas leave out."""
UNUSED = {
    "AWS::DynamoDB::Table": re.compile(r"(iam|kms|logs|s3):.*|dynamodb:(.*Item|.*Import.*|.*Replica|Query|Scan)"),
}
"""What a schema lists for features that Easel does not use: replicas, imports, own keys."""


def registry_permissions() -> dict[str, list[str]]:
    """Return the sorted actions of each type that Easel's stacks may have."""
    types = {row.type for row in RESOURCE_TYPES} | PARTS
    return {name: sorted(_actions(name)) for name in sorted(types - WITHOUT_RIGHTS)}


def handler_actions(type: str) -> dict[str, list[str]]:
    """Return handler (create, read, update, delete, list) to the actions that it calls."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type).schema.get("handlers", {})
    return {name: handler.get("permissions", []) for name, handler in handlers.items()}


def unscoped(permissions: dict[str, list[str]]) -> list[str]:
    """Return the actions that AWS authorises on `*` only."""
    actions = {action for row in permissions.values() for action in row}
    return sorted(action for action in actions if not resource_types(action))


def resource_types(action: str) -> list[str]:
    """Return the resource types on which AWS authorises an action; empty if on `*` only, or if it is unknown."""
    service, _, name = action.lower().partition(":")
    found: list[str] = _services().get(service, {}).get("Actions", {}).get(name, {}).get("Resources", [])
    return found


def _actions(type: str) -> Iterator[str]:
    """Yield actions of the services that Easel uses. The schemas also name actions that IAM does not know."""
    listed = {action for actions in handler_actions(type).values() for action in actions}
    for action in listed | set(MORE.get(type, ())):
        service, _, name = action.lower().partition(":")
        if type in UNUSED and UNUSED[type].fullmatch(action):
            continue
        if service in used_services() and name in _services()[service]["Actions"]:
            yield action


@cache
def used_services() -> set[str]:
    """Return the IAM prefixes of the services that have a resource type in Easel's stacks."""
    names = {name.split("::")[1].lower() for name in {row.type for row in RESOURCE_TYPES} | PARTS}
    renamed = {"applicationautoscaling": "application-autoscaling", "cognito": "cognito-idp"}
    return {renamed.get(name, name) for name in names - {"cdk"}}


@cache
def _services() -> dict[str, Any]:
    file = importlib.resources.files("cfnlint") / "data" / "AdditionalSpecs" / "Policies.json"
    services: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return services


def render_handlers() -> str:
    """Return what the emulator checks: type to handler to actions, and the actions on `*`. A create also reads."""
    permissions = registry_permissions()
    handlers: dict[str, dict[str, list[str]]] = {}
    for type, known in permissions.items():
        listed = handler_actions(type) or dict.fromkeys(("create", "update", "delete"), known)
        create = {*listed.get("create", ()), *listed.get("read", ()), *MORE.get(type, ())}
        handlers[type] = {
            name: sorted(set(actions) & set(known)) for name, actions in {**listed, "create": create}.items()
        }
    return json.dumps({"handlers": handlers, "unscoped": unscoped(permissions)})


def render() -> str:
    permissions = registry_permissions()
    return json.dumps({"types": permissions, "unscoped": unscoped(permissions)}, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
