"""The user's own VPC: rights to use network interfaces in the subnets and security groups of the settings."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from stacks.common.grants import allow, allow_on_all_of_type, allow_on_any_resource
from stacks.common.nag_suppressions import suppress_wildcard
from stacks.config.settings import Settings

DESCRIBED = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
_INTERFACE_REASON = "A network interface has no id before it exists; its subnets and security groups are named"
_ACCOUNT_REASON = "An id is unique, and its account is not known: subnets can be shared by another account"


def allow_interfaces(role: iam.Role, settings: Settings) -> None:
    """Allow what SageMaker and CodeBuild need to join the subnets of the settings. Does nothing without subnets.

    Source: "Give SageMaker AI Hosted Endpoints Access to Resources in Your Amazon VPC", custom policies.
    """
    if not settings.subnets:
        return
    subnets, groups = _arns(role, "subnet", settings.subnets), _arns(role, "security-group", settings.security_groups)
    in_subnets: dict[str, object] = {"ArnLike": {"ec2:Subnet": subnets}}
    changes = ("DeleteNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterfacePermission")
    allow(role, ["ec2:CreateNetworkInterface"], [*subnets, *groups])
    _allow_on_interfaces(role, ["ec2:CreateNetworkInterface"])
    _allow_on_interfaces(role, [f"ec2:{change}" for change in changes], in_subnets)
    describe = [f"ec2:Describe{name}" for name in DESCRIBED]
    allow_on_any_resource(role, describe, reason="IAM cannot limit the Describe actions of EC2 to a resource")


def _allow_on_interfaces(role: iam.Role, actions: list[str], conditions: dict[str, object] | None = None) -> None:
    allow_on_all_of_type(
        role,
        actions,
        service="ec2",
        resource_type="network-interface",
        reason=_INTERFACE_REASON,
        conditions=conditions,
    )


def _arns(role: iam.Role, resource_type: str, ids: tuple[str, ...]) -> list[str]:
    stack = cdk.Stack.of(role)
    for id in ids:
        suppress_wildcard(role, f"ec2:{{region}}:*:{resource_type}/{id}", _ACCOUNT_REASON)
    return [stack.format_arn(service="ec2", account="*", resource=resource_type, resource_name=id) for id in ids]
