"""The look-up of a Cloud9 environment's security group."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest

from custom_resources import cloud9_security_group

ENVIRONMENT = "0123456789abcdef0123456789abcdef"
EVENT = {"ResourceProperties": {"EnvironmentId": ENVIRONMENT}}


@pytest.fixture
def ec2(aws: None) -> Any:
    return boto3.client("ec2")


def create_group(ec2: Any, name: str, environment: str) -> str:
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "aws:cloud9:environment", "Value": environment}]}]
    group = ec2.create_security_group(GroupName=name, Description=name, TagSpecifications=tags)
    return str(group["GroupId"])


def test_the_group_with_the_tag_is_found(ec2: Any) -> None:
    create_group(ec2, "other", "f" * 32)
    group = create_group(ec2, "environment", ENVIRONMENT)
    assert cloud9_security_group.find(EVENT) == (group, {"GroupId": group})


@pytest.mark.parametrize("count", [0, 2])
def test_any_other_number_of_groups_is_an_error_that_names_the_setting(ec2: Any, count: int) -> None:
    for name in "ab"[:count]:
        create_group(ec2, name, ENVIRONMENT)
    with pytest.raises(LookupError, match=re.escape("-c cloud9_security_group_id=")) as error:
        cloud9_security_group.find(EVENT)
    assert str(error.value).startswith(f"{count} ")
