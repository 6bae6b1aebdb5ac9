"""`easel outputs`: one list of what four stacks told, and lines that a shell can read."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from easel.cloud.outputs import exports, read_outputs, report
from easel.console.errors import CommandError
from tests.easel.cloud.fake_aws import REGION, FakeAws

NOW = datetime(2026, 11, 25, tzinfo=UTC)
URL, KEY = "https://0a1b2c3d4e.execute-api.eu-west-1.amazonaws.com/v1/", "a'key $with words"


def stack(name: str, **outputs: str) -> dict[str, Any]:
    told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    return {"StackName": name, "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE", "Outputs": told}


STACKS = [
    stack("EaselModel", PublishOutputRefAlertsTopic="arn:x", Model="emoji", PriceWarm="about 0.115 USD per hour"),
    stack("EaselApi", ApiUrl=URL),
    stack("Another", SiteUrl="https://elsewhere.example"),
    stack("EaselSite", SiteUrl="https://d111.cloudfront.net/"),
    stack("EaselStorage", BucketName="easelstorage-store-1", ExportsOutputRefStore="easelstorage-store-1"),
]


def world(*stacks: dict[str, Any], keys: int = 1) -> FakeAws:
    key = {
        "LogicalResourceId": "Key",
        "PhysicalResourceId": "k3y1d",
        "ResourceType": "AWS::ApiGateway::ApiKey",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    answers: dict[str, Any] = {
        "cloudformation.DescribeStacks": {"Stacks": list(stacks)},
        "cloudformation.ListStackResources": {"StackResourceSummaries": [key] * keys},
        "apigateway.GetApiKey": {"id": "k3y1d", "value": KEY},
    }
    return FakeAws(**answers)


def test_the_page_comes_first_and_machinery_not_at_all() -> None:
    found = read_outputs(world(*STACKS).account())
    assert list(found) == ["SiteUrl", "ApiUrl", "Model", "PriceWarm", "BucketName"]
    assert report(found).splitlines()[0] == "SiteUrl     https://d111.cloudfront.net/"


def test_a_shell_reads_address_and_key() -> None:
    account = world(*STACKS).account()
    lines = exports(account, read_outputs(account))
    program = f'{lines}\nprintf "%s|%s" "$EASEL_URL" "$EASEL_KEY"'
    assert subprocess.run(["sh", "-c", program], capture_output=True, text=True).stdout == f"{URL}|{KEY}"


def test_an_api_without_keys_needs_none() -> None:
    account = world(*STACKS, keys=0).account()
    assert exports(account, read_outputs(account)) == f"export EASEL_URL={URL}"


def test_what_is_not_deployed_is_said() -> None:
    with pytest.raises(CommandError) as refusal:
        read_outputs(world(stack("Another", SiteUrl="x"), STACKS[2]).account())
    assert (refusal.value.args[0], refusal.value.where) == ("Easel is not deployed", REGION)
    account = world(STACKS[0]).account()
    with pytest.raises(CommandError, match="There is no API yet"):
        exports(account, read_outputs(account))
