"""The look-up of a Cloud9 environment's security group, against an EC2 of moto's."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from moto import mock_aws

from custom_resources import cloud9_group

ENVIRONMENT = "0123456789abcdef0123456789abcdef"
EVENT = {"ResourceProperties": {"EnvironmentId": ENVIRONMENT}}


@pytest.fixture(autouse=True)
def ec2(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (
        ("ACCESS_KEY_ID", "testing"),
        ("SECRET_ACCESS_KEY", "testing"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield boto3.client("ec2")


def tagged(ec2: Any, name: str, environment: str) -> str:
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "aws:cloud9:environment", "Value": environment}]}]
    made = ec2.create_security_group(GroupName=name, Description=name, TagSpecifications=tags)
    return str(made["GroupId"])


def test_the_group_with_the_tag_is_found(ec2: Any) -> None:
    tagged(ec2, "other", "f" * 32)
    group = tagged(ec2, "ours", ENVIRONMENT)
    assert cloud9_group.find(EVENT) == (group, {"GroupId": group})


def test_no_group_or_two_say_what_to_do(ec2: Any) -> None:
    with pytest.raises(LookupError, match=r"0 security groups carry .*cloud9_security_group_id=sg-"):
        cloud9_group.find(EVENT)
    tagged(ec2, "one", ENVIRONMENT)
    tagged(ec2, "two", ENVIRONMENT)
    with pytest.raises(LookupError, match="2 security groups"):
        cloud9_group.find(EVENT)
