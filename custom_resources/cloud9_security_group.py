"""Custom resource: the security group of a Cloud9 environment, found by the tag that Cloud9 sets."""

from __future__ import annotations

import boto3

from .response import Event, Result, make_handler


def find(event: Event) -> Result:
    """Return the id of the only security group of `EnvironmentId`. Raises LookupError if there is not exactly one."""
    environment = event["ResourceProperties"]["EnvironmentId"]
    found = boto3.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:aws:cloud9:environment", "Values": [environment]}]
    )["SecurityGroups"]
    if len(found) != 1:
        raise LookupError(
            f"{len(found)} security groups have the tag aws:cloud9:environment={environment}; expected 1. "
            "Deploy with -c cloud9_security_group_id=sg-… instead of cloud9_environment_id."
        )
    group: str = found[0]["GroupId"]
    return group, {"GroupId": group}


handler = make_handler(find)
