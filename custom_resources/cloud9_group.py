"""Custom resource: the security group of a Cloud9 environment, found by the tag that Cloud9 puts on it."""

from __future__ import annotations

import boto3

from .response import Event, answering


def find(event: Event) -> tuple[str, dict[str, str]]:
    """The id of the one security group that belongs to `EnvironmentId`."""
    environment = event["ResourceProperties"]["EnvironmentId"]
    found = boto3.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:aws:cloud9:environment", "Values": [environment]}]
    )["SecurityGroups"]
    if len(found) != 1:
        raise LookupError(
            f"{len(found)} security groups carry aws:cloud9:environment={environment}, expected one. "
            "Deploy with -c cloud9_security_group_id=sg-… instead."
        )
    group: str = found[0]["GroupId"]
    return group, {"GroupId": group}


handler = answering(find)
