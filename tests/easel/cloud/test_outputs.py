"""`easel outputs`: the outputs of all stacks, and lines for a shell."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from typing import Any

import pytest

from easel.cloud.outputs import exports, format_outputs, read_outputs
from easel.console.errors import ENVIRONMENT, CommandError
from stacks.config.names import USAGE_SLOT
from tests.easel.cloud.fake_aws import REGION, FakeAws
from tests.easel.cloud.fake_deployment import NOW

LATER = NOW + timedelta(minutes=1)
URL, KEY = "https://0a1b2c3d4e.execute-api.eu-west-1.amazonaws.com/v1/", "a'key $with words"


def stack(name: str, **outputs: str) -> dict[str, Any]:
    items = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    return {"StackName": name, "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE", "Outputs": items}


STACKS = [
    stack("EaselModel", PublishOutputRefAlertsTopic="arn:x", Model="emoji", PriceWarm="about 0.115 USD per hour"),
    stack("EaselApi", ApiUrl=URL),
    stack("Another", SiteUrl="https://elsewhere.example"),
    stack("EaselSite", SiteUrl="https://d111.cloudfront.net/"),
    stack("EaselStorage", BucketName="easelstorage-store-1", ExportsOutputRefStore="easelstorage-store-1"),
]


def aws_with(*stacks: dict[str, Any], keys: int = 1) -> FakeAws:
    key = {
        "LogicalResourceId": "Key",
        "PhysicalResourceId": "k3y1d",
        "ResourceType": "AWS::ApiGateway::ApiKey",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    slot = {**key, "LogicalResourceId": f"{USAGE_SLOT}0", "PhysicalResourceId": "s1ot", "LastUpdatedTimestamp": LATER}
    responses: dict[str, Any] = {
        "cloudformation.DescribeStacks": {"Stacks": list(stacks)},
        "cloudformation.ListStackResources": {"StackResourceSummaries": [key, slot] * keys},
        "apigateway.GetApiKey": lambda request: {"value": KEY if request["apiKey"] == "k3y1d" else "of a slot"},
    }
    return FakeAws(**responses)


def test_outputs_begin_with_the_site_and_leave_out_internal_outputs() -> None:
    outputs = read_outputs(aws_with(*STACKS).account())
    assert list(outputs) == ["SiteUrl", "ApiUrl", "Model", "PriceWarm", "BucketName"]
    assert format_outputs(outputs).splitlines()[0] == "SiteUrl     https://d111.cloudfront.net/"


def test_a_shell_reads_url_and_key() -> None:
    account = aws_with(*STACKS).account()
    lines = exports(account, read_outputs(account))
    program = f'{lines}\nprintf "%s|%s" "$EASEL_URL" "$EASEL_KEY"'
    assert subprocess.run(["sh", "-c", program], capture_output=True, text=True).stdout == f"{URL}|{KEY}"


def test_an_api_without_a_key_exports_its_url_only() -> None:
    account = aws_with(*STACKS, keys=0).account()
    assert exports(account, read_outputs(account)) == f"export EASEL_URL={URL}"


def test_outputs_without_a_deploy_are_an_error() -> None:
    with pytest.raises(CommandError) as caught:
        read_outputs(aws_with(stack("Another", SiteUrl="x"), STACKS[2]).account())
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, REGION)


def test_exports_without_an_api_are_an_error() -> None:
    account = aws_with(STACKS[0]).account()
    with pytest.raises(CommandError) as caught:
        exports(account, read_outputs(account))
    assert (caught.value.code, caught.value.fix) == (ENVIRONMENT, "npx cdk deploy EaselApi")
