"""Subnets and security groups of the user's, and the right to have network interfaces in them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from stacks.common.grants import acknowledge_arn, allow, allow_anywhere, allow_unnamed
from stacks.config.settings import Settings

LOOKS = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
_EACH = "A network interface has no name before it is there; the subnets and groups that it may be in are named"


def allow_interfaces(role: iam.Role, settings: Settings) -> None:
    """What SageMaker and CodeBuild ask of a role, in the named subnets alone. They may be another account's.

    Source: "Give SageMaker AI Hosted Endpoints Access to Resources in Your Amazon VPC", for custom policies.
    """
    if not settings.subnets:
        return
    subnets, groups = _arns(role, "subnet", settings.subnets), _arns(role, "security-group", settings.security_groups)
    there = {"ArnLike": {"ec2:Subnet": subnets}}
    changes = ("DeleteNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterfacePermission")
    allow(role, ["ec2:CreateNetworkInterface"], [*subnets, *groups])
    allow_unnamed(role, ["ec2:CreateNetworkInterface"], "ec2", "network-interface", _EACH)
    allow_unnamed(role, [f"ec2:{change}" for change in changes], "ec2", "network-interface", _EACH, there)
    allow_anywhere(role, [f"ec2:Describe{what}" for what in LOOKS], "To describe networks knows no resource")


def _arns(role: iam.Role, kind: str, ids: tuple[str, ...]) -> list[str]:
    stack = cdk.Stack.of(role)
    for id in ids:
        acknowledge_arn(role, f"ec2:{{region}}:*:{kind}/{id}", "An id is unique; whose account it is in, nobody says")
    return [stack.format_arn(service="ec2", account="*", resource=kind, resource_name=id) for id in ids]
