"""What a service asks of a role before it uses a user's key for a disk, or a user's network.

Source: SageMaker's developer guide on keys in the rights of execution roles, and "Give SageMaker AI Hosted Endpoints
Access to Resources in Your Amazon VPC".
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from .service import ACCOUNT, REGION

Right = tuple[str, str, dict[str, str]]
"""Action, resource, what the request says of itself."""
Permit = Callable[[str, Sequence[Right]], None]
"""Asks for the rights of a role; raises ServiceError."""

CHANGES = ("CreateNetworkInterfacePermission", "DeleteNetworkInterfacePermission", "DeleteNetworkInterface")
LOOKS = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")


def disk(key: str | None) -> Iterator[Right]:
    """Nothing without a key."""
    if key:
        yield "kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"}
        yield "kms:DescribeKey", key, {}


def interfaces(subnets: Sequence[str], groups: Sequence[str]) -> Iterator[Right]:
    """Nothing without subnets."""
    named = [*(_arn("subnet", one) for one in subnets), *(_arn("security-group", one) for one in groups)]
    interface = _arn("network-interface", "eni-0123456789abcdef0")
    for resource in (*named, interface) if subnets else ():
        yield "ec2:CreateNetworkInterface", resource, {}
    for subnet, change in itertools.product(subnets, CHANGES):
        yield f"ec2:{change}", interface, {"ec2:Subnet": _arn("subnet", subnet)}
    for what in LOOKS if subnets else ():
        yield f"ec2:Describe{what}", "*", {}


def _arn(kind: str, id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{id}"
