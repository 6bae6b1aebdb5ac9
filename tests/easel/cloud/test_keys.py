"""`easel keys` in the cloud: it finds the table of the deploy. tests/easel/laptop/gateway/test_keys.py has more."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any

import pytest

from api_keys.authorizer import owner_of_operator
from api_keys.keys import new_key
from easel.cloud.keys import as_table, create, deployed_place, table_errors, usage_rows
from easel.console.errors import ENVIRONMENT, CommandError
from jobs.accounting import month_of
from jobs.accounts import Limits
from stacks.config.names import USAGE_SLOT
from stacks.config.prices import USD_PER_HOUR
from tests.easel.cloud.fake_aws import FakeAws, client_error
from tests.easel.cloud.fake_deployment import CONFIG, NOW
from tests.easel.cloud.test_pause import two_models


def resource(type: str, id: str, logical: str) -> dict[str, Any]:
    return {"ResourceType": type, "PhysicalResourceId": id, "LogicalResourceId": logical,
            "ResourceStatus": "CREATE_COMPLETE", "LastUpdatedTimestamp": NOW}  # fmt: skip


RESOURCES = {
    "EaselStorage": [resource("AWS::DynamoDB::Table", "EaselStorage-Accounts-1", "Accounts")],
    "EaselApi": [resource("AWS::ApiGateway::ApiKey", "own", "Key"),
                 resource("AWS::ApiGateway::ApiKey", "slot", f"{USAGE_SLOT}0")],
}  # fmt: skip


def deployed(resources: dict[str, list[dict[str, Any]]] = RESOURCES, **more: Any) -> FakeAws:
    def list_resources(request: dict[str, str]) -> Any:
        if request["StackName"] in resources:
            return {"StackResourceSummaries": resources[request["StackName"]]}
        raise client_error("ValidationError", f"Stack with id {request['StackName']} does not exist")

    missing = client_error("ValidationError", "Stack with id EaselModel does not exist")
    found = {"cloudformation.ListStackResources": list_resources, "cloudformation.DescribeStacks": missing}
    return FakeAws(**{**found, **more})


def item(owner: str, name: str, **numbers: int) -> dict[str, Any]:
    return {"owner": {"S": owner}, "item": {"S": name}, **{key: {"N": str(n)} for key, n in numbers.items()}}


def test_usage_names_each_caller_and_the_most_used_first(monkeypatch: pytest.MonkeyPatch) -> None:
    month, day = month_of(time.time()), time.gmtime().tm_mday
    _, key = new_key("alice", 0, 8, [])
    stored = {**item(key.id, "key"), "json": {"S": json.dumps(asdict(replace(key, images_a_day=5)))}}
    used = {f"d{day}": 2, "gpu_ms": 1500, "jobs": 2}
    other = item(owner_of_operator("own"), month, gpu_ms=9000)
    scan = {"Items": [stored, item(key.id, month, **used), other, item("f" * 16, month)]}
    rows = usage_rows(deployed_place(deployed(**{"dynamodb.Scan": scan}).account()))
    assert [row["name"] for row in rows] == ["key of the stack", "alice", "f" * 16]
    assert (rows[1]["images_today"], rows[1]["images_a_day"], rows[1]["gpu_seconds"]) == (2, 5, 1.5)
    assert rows[1]["usd"] is None, "there is no endpoint whose price is known"
    assert as_table(rows)[0].split()[:2] == ["name", "id"]
    assert as_table([]) == []


def test_usage_of_several_models_has_the_price_of_each() -> None:
    month = month_of(time.time())
    aws = two_models()
    types = {CONFIG: "ml.m5.large", "second": "ml.g5.xlarge"}

    def describe(request: Any) -> Any:
        variant = {"VariantName": "v", "InstanceType": types[request["EndpointConfigName"]]}
        return {
            "ProductionVariants": [variant],
            "EndpointConfigName": "c",
            "EndpointConfigArn": "a" * 20,
            "CreationTime": NOW,
        }

    models: Any = aws.responses["cloudformation.ListStackResources"]

    def list_resources(request: Any) -> Any:
        name = request["StackName"]
        return {"StackResourceSummaries": RESOURCES[name]} if name in RESOURCES else models

    own = {**item(owner_of_operator("own"), month, gpu_ms=7_200_000, jobs=2), "gpu-first": {"N": "3600000"},
           "gpu-other": {"N": "3600000"}}  # fmt: skip
    aws.responses |= {
        "cloudformation.ListStackResources": list_resources, "sagemaker.DescribeEndpointConfig": describe,
        "dynamodb.Scan": {"Items": [own]},
    }  # fmt: skip
    (row,) = usage_rows(deployed_place(aws.account()))
    assert row["usd"] == pytest.approx(USD_PER_HOUR["ml.m5.large"] + USD_PER_HOUR["ml.g5.xlarge"])


def test_a_key_is_written_to_the_table_of_the_deploy() -> None:
    written: list[Any] = []

    def put(request: Any) -> dict[str, Any]:
        written.append(request)
        return {}

    answers: dict[str, Any] = {"dynamodb.Scan": {"Items": []}, "dynamodb.PutItem": put}
    aws = deployed(**answers)
    text = create(deployed_place(aws.account()), "alice", days=None, limits=Limits(images_a_day=3))
    (request,) = written
    assert request["TableName"] == "EaselStorage-Accounts-1"
    assert json.loads(request["Item"]["json"]["S"])["images_a_day"] == 3
    assert text.rpartition("_")[2] not in json.dumps(request)


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        (("EaselStorage", "EaselApi"), "no keys here"),
        (("EaselStorage",), "no keys here"),
        (("EaselApi",), "takes no keys"),
    ],
)
def test_a_deploy_without_keys_is_an_error(missing: tuple[str, ...], what: str) -> None:
    resources = {name: found for name, found in RESOURCES.items() if name not in missing}
    with pytest.raises(CommandError, match=what) as caught:
        deployed_place(deployed(resources).account())
    assert caught.value.code == ENVIRONMENT


def test_a_refusal_of_aws_is_shown_in_its_words() -> None:
    aws = deployed(**{"dynamodb.Scan": client_error("AccessDeniedException", "not authorized to Scan")})
    place = deployed_place(aws.account())
    with pytest.raises(CommandError, match="no permission to call Scan") as caught, table_errors():
        usage_rows(place)
    assert "not authorized" in caught.value.why
