"""Permissions that SageMaker needs of an execution role to encrypt a disk with a customer's key or to join a VPC.

Sources: SageMaker's developer guide on keys in execution roles, and "Give SageMaker AI Hosted Endpoints Access to
Resources in Your Amazon VPC".
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from .service import ACCOUNT, REGION

Permission = tuple[str, str, dict[str, str]]
"""Action, resource, condition keys of the request."""
CheckPermissions = Callable[[str, Sequence[Permission]], None]
"""Role, permissions. Raises ServiceError if one is missing."""

CHANGES = ("CreateNetworkInterfacePermission", "DeleteNetworkInterfacePermission", "DeleteNetworkInterface")
DESCRIBED = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")


def for_disk(key: str | None) -> Iterator[Permission]:
    """Yield the permissions for a disk with this KMS key; none without a key."""
    if key:
        yield "kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"}
        yield "kms:DescribeKey", key, {}


def for_network(subnets: Sequence[str], groups: Sequence[str]) -> Iterator[Permission]:
    """Yield the permissions for network interfaces in these subnets; none without subnets."""
    resources = [*(_arn("subnet", id) for id in subnets), *(_arn("security-group", id) for id in groups)]
    interface = _arn("network-interface", "eni-0123456789abcdef0")
    for resource in (*resources, interface) if subnets else ():
        yield "ec2:CreateNetworkInterface", resource, {}
    for subnet, change in itertools.product(subnets, CHANGES):
        yield f"ec2:{change}", interface, {"ec2:Subnet": _arn("subnet", subnet)}
    for noun in DESCRIBED if subnets else ():
        yield f"ec2:Describe{noun}", "*", {}


def _arn(resource_type: str, id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{resource_type}/{id}"
