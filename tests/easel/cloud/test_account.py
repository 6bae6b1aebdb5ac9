"""Clients, regions and pages of an AWS account."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from easel.cloud.account import open_account, validate_region
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from tests.easel.cloud.fake_aws import REGION, FakeAws


def test_an_account_creates_each_client_once() -> None:
    account = FakeAws().account()
    assert account.client("sagemaker") is account.client("sagemaker", REGION)
    assert account.client("sagemaker", "us-east-1").meta.region_name == "us-east-1"


def test_pages_without_a_paginator_in_boto3_are_read() -> None:
    def page(request: dict[str, str]) -> dict[str, Any]:
        is_last = request.get("NextMarker") == "m"
        return {"WebACLs": [{"Name": "b" if is_last else "a"}], "NextMarker": "m"}

    aws = FakeAws(**{"wafv2.ListWebACLs": page})
    acls = aws.account().items("wafv2", "list_web_acls", "WebACLs", Scope="REGIONAL")
    assert [acl["Name"] for acl in acls] == ["a", "b"]


def test_without_boto3_the_error_names_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(CommandError, match="boto3") as caught:
        open_account(REGION)
    assert caught.value.code == ENVIRONMENT
    assert "requirements.txt" in caught.value.fix


def test_the_region_is_the_one_that_the_cdk_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION has precedence. boto3 alone does not read it."""
    with pytest.raises(CommandError) as caught:
        open_account(None)
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, "AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert open_account(None).region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert open_account(None).region == "eu-west-3"
    assert open_account("cn-north-1", default_region="us-east-1").partition == "aws-cn"
    assert open_account(None, default_region="us-east-1").region == "eu-west-3"


@pytest.mark.parametrize("name", ["Frankfurt", "us-east", "us-east-1a", ""])
def test_a_malformed_region_is_a_usage_error(name: str) -> None:
    with pytest.raises(CommandError) as caught:
        validate_region(name)
    assert caught.value.code == USAGE
