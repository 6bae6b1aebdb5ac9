"""The policies of the role with which CloudFormation creates, updates and deletes the stacks' resources.

What each resource type needs is in the schemas of CloudFormation's registry; permissions.json has it for the types of
Easel. Roles, functions, buckets, topics, queues and endpoints are limited to the names of the stacks.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from easel.cloud.policies.assembly import ANY, Assembly
from easel.cloud.policies.documents import Statement, allow
from easel.cloud.policies.patterns import GLOBAL, Patterns, generated_name

ROLE = "AWS::IAM::Role"
LIMITED_BY_BOUNDARY = (
    "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy",
)  # fmt: skip
"""Actions that IAM can limit to roles with a certain boundary."""
NEVER = re.compile(r"iam:\w*(User|Group)\w*")
"""Easel's policies belong to roles only."""
SECRET = re.compile(r"\{\{resolve:secretsmanager:(arn:[\w/+=.@:-]+?|[\w/+=.@-]+):SecretString")
"""A secret that CloudFormation reads, by name or ARN."""
KEY_ARN = re.compile(r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+")


def execution_statements(assembly: Assembly) -> list[Statement]:
    """Return the statements."""
    return [*_of_types(assembly), *_of_custom_resources(assembly), *_of_templates(assembly)]


@cache
def _permissions() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("permissions.json").read_text(encoding="utf-8"))
    return table


def _of_types(assembly: Assembly) -> Iterator[Statement]:
    """Yield what the registry lists for the resource types of the templates."""
    table = _permissions()
    actions = {action for type in assembly.types for action in table["types"].get(type, ())}
    actions = {action for action in actions if not NEVER.fullmatch(action)}
    by_service: dict[str, set[str]] = defaultdict(set)
    for action in actions - set(table["unscoped"]):
        by_service[action.partition(":")[0]].add(action)
    yield allow(actions & set(table["unscoped"]), [ANY])
    yield from _of_roles(assembly, by_service.pop("iam", set()))
    if layers := by_service["lambda"] & {"lambda:GetLayerVersion"}:
        yield allow(layers, [assembly.arn("lambda", "layer:*", account=ANY)])  # AWS publishes Powertools from its own
    for service, scoped in sorted(by_service.items()):
        if resources := sorted(_scope(assembly, service)):
            yield allow(scoped, resources)


def _scope(assembly: Assembly, service: str) -> Iterator[str]:
    """Yield the resources of a service that belong to the stacks, as exactly as their names allow."""
    names = [generated_name(stack, service) for stack in assembly.templates]
    match service:
        case "s3":
            yield from (assembly.arn("s3", name, **GLOBAL["s3"]) for name in names)
            yield from (assembly.arn("s3", f"{name}/*", **GLOBAL["s3"]) for name in assembly.asset_buckets)
        case "lambda":
            yield from (assembly.arn("lambda", f"function:{name}") for name in names)
            yield from (assembly.arn("lambda", f"layer:{name}") for name in names)
            if "AWS::Lambda::EventSourceMapping" in assembly.types:  # its id is random
                yield assembly.arn("lambda", "event-source-mapping:*")
        case "dynamodb":
            yield from (assembly.arn(service, f"table/{name}") for name in names)
        case "sns" | "sqs":
            yield from (assembly.arn(service, name) for name in names)
        case "kms":
            yield from set(KEY_ARN.findall(assembly.text))
        case "sagemaker":
            nouns = ("endpoint-config/*", "model/*", "notebook-instance/*", "notebook-instance-lifecycle-config/*")
            yield from (assembly.arn(service, noun) for noun in (f"endpoint/{assembly.name}-*", *nouns))
        case "apigateway":
            yield assembly.arn(service, "*", account="")
        case "route53":
            yield assembly.arn(service, "*", region="", account="")
        case "budgets" | "cloudfront":
            yield assembly.arn(service, "*", region="")
        case "cloudwatch" | "wafv2":  # dashboards have no region, and a global web ACL has that of CloudFront
            yield assembly.arn(service, "*", region=ANY)
        case _:
            yield assembly.arn(service, "*")


def _of_roles(assembly: Assembly, actions: set[str]) -> Iterator[Statement]:
    """Yield the actions on the stacks' roles. If all have a permissions boundary, none may be without it."""
    roles = [assembly.arn("iam", f"role/{generated_name(stack, 'iam')}", region="") for stack in assembly.templates]
    if "iam:PassRole" in actions:
        yield allow(["iam:PassRole"], roles, {"StringEquals": {"iam:PassedToService": sorted(_services(assembly))}})
    if "iam:CreateServiceLinkedRole" in actions:
        yield allow(["iam:CreateServiceLinkedRole"], [assembly.arn("iam", "role/aws-service-role/*", region="")])
    actions = actions - {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    boundaries = boundaries_of(assembly)
    if boundaries and "" not in boundaries:
        limited = actions & set(LIMITED_BY_BOUNDARY)
        yield allow(limited, roles, {"StringLike": {"iam:PermissionsBoundary": sorted(boundaries)}})
        actions = actions - limited - {"iam:DeleteRolePermissionsBoundary"}
    if actions:
        yield allow(actions, roles)


def boundaries_of(assembly: Assembly) -> set[str]:
    """Return the permissions boundaries of the stacks' roles; "" if a role has none."""
    patterns = Patterns(assembly)
    roles = assembly.properties(ROLE)
    return {patterns.resolve(role.get("PermissionsBoundary", ""), stack) for stack, role in roles}


def _services(assembly: Assembly) -> set[str]:
    """Return the services that the stacks' roles trust."""
    statements = [
        statement
        for _, role in assembly.properties(ROLE)
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
    ]
    names = [statement["Principal"].get("Service", []) for statement in statements]
    return {name for value in names for name in ([value] if isinstance(value, str) else value)}


def _of_custom_resources(assembly: Assembly) -> Iterator[Statement]:
    """Yield the call of the functions behind custom resources."""
    if any(type.startswith("Custom::") for type in assembly.types):
        names = [generated_name(stack, "lambda") for stack in assembly.templates]
        yield allow(["lambda:InvokeFunction"], [assembly.arn("lambda", f"function:{name}") for name in names])


def _of_templates(assembly: Assembly) -> Iterator[Statement]:
    """Yield what CloudFormation reads to fill in a template: parameters of SSM, secrets, and outputs of other stacks.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getstackoutput.html
    """
    if names := set(_parameters(assembly)):
        own, public = ({name for name in names if name.startswith("/aws/") is public} for public in (False, True))
        resources = [assembly.arn("ssm", f"parameter{name}") for name in own]
        yield allow(["ssm:GetParameters"], [*resources, *(assembly.arn("ssm", f"parameter{name}", account="")
                                                          for name in public)])  # fmt: skip
    if secrets := sorted(set(SECRET.findall(assembly.text))):
        resources = [name if name.startswith("arn:") else assembly.arn("secretsmanager", f"secret:{name}-*")
                     for name in secrets]  # fmt: skip
        yield allow(["secretsmanager:GetSecretValue"], resources)
    if "Fn::GetStackOutput" in assembly.text:
        stacks = [assembly.arn("cloudformation", f"stack/{name}/*") for name in assembly.templates]
        yield allow(["cloudformation:DescribeStacks"], stacks)


def _parameters(assembly: Assembly) -> Iterable[str]:
    for template in assembly.templates.values():
        for parameter in template.get("Parameters", {}).values():
            if parameter["Type"].startswith("AWS::SSM::Parameter::Value"):
                yield parameter["Default"]
