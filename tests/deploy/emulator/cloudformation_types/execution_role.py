"""The rights of the role that a stack is deployed with. MiniStack 1.5.33 creates resources without asking IAM.

Before a resource is created, updated or deleted, the role must be allowed each action that CloudFormation's registry
lists for it: those of the resource's own service on the resource, and what it does with a role, a key or a file. A
stack without a role, as the CDK's bootstrap, has its caller's rights.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ministack.core import responses
from ministack.services import iam
from ministack.services.cloudformation import engine, handlers, stacks

from ..aws_api.identity import check_permissions
from ..aws_api.role_permissions import Permission
from ..aws_api.service import ACCOUNT, REGION, Parameters

CLOUDFORMATION = "cloudformation.amazonaws.com"
ROLE = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+")
KEY = re.compile(r"arn:aws:kms:[\w-]+:\d{12}:key/[\w-]+")
OF_ROLES = {"AWS::IAM::Role", "AWS::IAM::Policy"}
IAM_SERVICES = {"applicationautoscaling": "application-autoscaling"}
"""Service in the name of a type to its prefix in IAM, where they differ."""
PLACES = {"apigateway": f"{REGION}:", "budgets": f":{ACCOUNT}", "cloudfront": f":{ACCOUNT}", "route53": ":", "s3": ":",
          "iam": f":{ACCOUNT}"}  # fmt: skip
"""Service to region and account in its ARNs; of the others both are there."""
RESOURCES = {
    "AWS::IAM::Role": "role/{}", "AWS::Lambda::Function": "function:{}",
    "AWS::Lambda::EventSourceMapping": "event-source-mapping:{}", "AWS::Lambda::LayerVersion": "layer:{}",
    "AWS::S3::Bucket": "{}", "AWS::SNS::Topic": "{}", "AWS::SQS::Queue": "{}",
}  # fmt: skip
"""Type to the end of its ARN, where policies name it. That of the others has the type in front of the id."""
PARENTS = {
    "AWS::Lambda::Permission": ("FunctionName", "function:{}"), "AWS::S3::BucketPolicy": ("Bucket", "{}"),
    "AWS::Lambda::EventInvokeConfig": ("FunctionName", "function:{}"), "AWS::SNS::Subscription": ("TopicArn", "{}"),
    "AWS::SNS::TopicPolicy": ("Topics", "{}"), "AWS::SQS::QueuePolicy": ("Queues", "{}"),
    "AWS::IAM::Policy": ("Roles", "role/{}"), "AWS::WAFv2::WebACLAssociation": ("WebACLArn", "{}"),
}  # fmt: skip
"""Type to the property with the resources on which its actions are authorised, and the end of their ARN."""


class ExecutionRoles:
    """Remembers the role of each stack and checks it. `registry`: a file with `handlers` and `unscoped` actions."""

    def __init__(self, registry: Path) -> None:
        content = json.loads(registry.read_text())
        self.handlers: dict[str, dict[str, list[str]]] = content["handlers"]
        self.unscoped = set(content["unscoped"])
        self.roles: dict[str, str] = {}

    def install(self) -> None:
        for operation in ("CreateStack", "UpdateStack", "CreateChangeSet", "DeleteStack"):
            accept = handlers._ACTION_HANDLERS[operation]
            handlers._ACTION_HANDLERS[operation] = functools.partial(self._remember_role, accept)
        create, update, delete = stacks._provision_keeping_seed, stacks._update_keeping_seed, stacks._delete_resource
        resolve = engine._resolve_refs

        def create_resource(kind: str, logical_id: str, new: Any, stack: str) -> Any:
            self.check(stack, "create", kind, physical_name(kind, new, f"{stack}-{logical_id}-NEW"), new)
            return create(kind, logical_id, new, stack)

        def update_resource(kind: str, physical_id: str, old: Any, new: Any, stack: str, *more: Any) -> Any:
            self.check(stack, "update", kind, physical_id, new)
            return update(kind, physical_id, old, new, stack, *more)

        def delete_resource(kind: str, physical_id: str, old: Any, stack: str, logical_id: str) -> Any:
            self.check(stack, "delete", kind, physical_id, old)
            return delete(kind, physical_id, old, stack, logical_id)

        def resolve_references(value: Any, *more: Any) -> Any:
            if isinstance(value, Mapping) and "Fn::GetStackOutput" in value:
                self._check_output(more[-2], value["Fn::GetStackOutput"]["StackName"])
            return resolve(value, *more)

        stacks._provision_keeping_seed, stacks._update_keeping_seed = create_resource, update_resource
        stacks._delete_resource, engine._resolve_refs = delete_resource, resolve_references

    def _remember_role(self, accept: Callable[[Any], Any], parameters: Any) -> Any:
        if role := handlers._p(parameters, "RoleARN"):
            name = handlers._p(parameters, "StackName")
            self.roles[name.split("/")[1] if "/" in name else name] = role
        return accept(parameters)

    def check(self, stack: str, operation: str, kind: str, physical_id: str, properties: Parameters) -> None:
        """Check the stack's role. Raises ServiceError at the first action that it may not call."""
        if role := self.roles.get(stack):
            permissions = list(self._permissions(operation, kind, physical_id, properties))
            check_permissions(role, permissions, CLOUDFORMATION)

    def _check_output(self, stack: str, other: str) -> None:
        """Check that the role may read another stack's outputs, as Fn::GetStackOutput does."""
        if role := self.roles.get(stack):
            responses.set_request_account_id(ACCOUNT)
            arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{other}/0"
            check_permissions(role, [("cloudformation:DescribeStacks", arn, {})], CLOUDFORMATION)

    def _permissions(self, operation: str, kind: str, physical_id: str, properties: Parameters) -> Iterator[Permission]:
        if kind.startswith("Custom::"):
            yield "lambda:InvokeFunction", properties["ServiceToken"], {}
        text, service = json.dumps(properties), service_of(kind)
        code = properties.get("Code") or properties.get("Content") or {}
        for action in self._listed(kind).get(operation, []):
            prefix = action.partition(":")[0]
            if action == "iam:DeleteRolePermissionsBoundary" and properties.get("PermissionsBoundary"):
                continue
            if action == "iam:PassRole":
                yield from ((action, role, passed_to(role)) for role in set(ROLE.findall(text)))
            elif prefix == "kms":
                yield from ((action, key, {}) for key in set(KEY.findall(text)))
            elif action == "s3:GetObject" and code.get("S3Bucket"):
                yield action, f"arn:aws:s3:::{code['S3Bucket']}/{code['S3Key']}", {}
            elif prefix == service and not re.search("User|Group", action if service == "iam" else ""):
                for arn in ["*"] if action in self.unscoped else arns(kind, physical_id, properties):
                    yield action, arn, boundary_of(arn, properties) if kind in OF_ROLES else {}

    def _listed(self, kind: str) -> dict[str, list[str]]:
        """Return handler to actions. Of a type that Easel's stacks do not have, only the usual names are known."""
        if kind in self.handlers or kind.startswith("Custom::") or kind == "AWS::CDK::Metadata":
            return self.handlers.get(kind, {})
        noun = kind.split("::")[2]
        return {verb.lower(): [f"{service_of(kind)}:{verb}{noun}"] for verb in ("Create", "Update", "Delete")}


def service_of(kind: str) -> str:
    """Return the IAM prefix of a type's service."""
    name = kind.split("::")[1].lower()
    return IAM_SERVICES.get(name, name)


def physical_name(kind: str, properties: Parameters, name: str) -> str:
    """Return the name in a resource's properties, else one as CloudFormation would choose it."""
    own = properties.get(f"{kind.split('::')[-1].removesuffix('Version')}Name")
    return str(own or (name.lower() if kind == "AWS::S3::Bucket" else name))


def arns(kind: str, physical_id: str, properties: Parameters) -> Iterator[str]:
    """Yield the ARNs of the resources on which the actions of a type are authorised."""
    if kind in PARENTS:
        key, end = PARENTS[kind]
        ids = properties[key] if isinstance(properties[key], list) else [properties[key]]
    else:
        noun = re.sub("(?<=[a-z])(?=[A-Z])", "-", kind.split("::")[2]).lower()
        end, ids = RESOURCES.get(kind, f"{noun}/{{}}"), [physical_id]
    service = service_of(kind)
    for id in ids:
        name = str(id).rsplit("/", 1)[-1]
        own = str(id).startswith(f"arn:aws:{service}:")  # IAM knows a scaling policy by another ARN than its own
        yield id if own else f"arn:aws:{service}:{place(service)}:{end.format(name)}"


def place(service: str) -> str:
    return PLACES.get(service, f"{REGION}:{ACCOUNT}")


def passed_to(role_arn: str) -> dict[str, str]:
    """Return the condition key of PassRole: the service that the role trusts, which gets it."""
    role = iam._roles.get_scoped(ACCOUNT, None, role_arn.rsplit("/", 1)[-1]) or {}
    found = re.search(r"[\w-]+\.amazonaws\.com", json.dumps(role.get("AssumeRolePolicyDocument", "")))
    return {"iam:PassedToService": found[0]} if found else {}


def boundary_of(role_arn: str, properties: Parameters) -> dict[str, str]:
    """Return the condition key with a role's permissions boundary: that of a new role, or of an existing one."""
    role = iam._roles.get_scoped(ACCOUNT, None, role_arn.rsplit("/", 1)[-1]) or {}
    boundary = properties.get("PermissionsBoundary") or role.get("PermissionsBoundary")
    return {"iam:PermissionsBoundary": boundary} if boundary else {}


def keep_boundary(provision: Callable[..., Any], new: int) -> Callable[..., Any]:
    """Wrap a handler of AWS::IAM::Role: MiniStack 1.5.33 drops the boundary. `new`: position of the properties."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        provisioned = provision(*arguments, **named)
        iam._roles[provisioned[0]]["PermissionsBoundary"] = arguments[new].get("PermissionsBoundary")
        return provisioned

    return wrapped
