"""The idle guard, against a SageMaker, a CloudWatch and an SNS of moto's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from custom_resources import idle_guard

REGION, HOURS = "us-east-1", 4


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        topic, queue = sns.create_topic(Name="alerts")["TopicArn"], sqs.create_queue(QueueName="mail")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        told = {"ENDPOINT": "e", "VARIANT": "AllTraffic", "IDLE_HOURS": str(HOURS), "ALERTS": topic}
        for name, value in told.items():
            monkeypatch.setenv(f"EASEL_{name}", value)
        yield boto3.client("sagemaker")


@pytest.fixture
def endpoint(aws: Any) -> Callable[..., None]:
    """Makes the endpoint `e`, last changed some hours ago."""

    def make(hours_ago: float, status: str = "InService") -> None:
        role = "arn:aws:iam::123456789012:role/r"
        aws.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1}
        aws.create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}]
        )
        aws.create_endpoint(EndpointName="e", EndpointConfigName="c")
        kept = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION].endpoints["e"]
        changed = datetime.now(UTC) - timedelta(hours=hours_ago)
        kept.last_modified_time, kept.endpoint_status = changed.strftime("%Y-%m-%d %H:%M:%S"), status

    return make


def called(hours_ago: float, variant: str = "AllTraffic") -> None:
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": variant}]
    point = {
        "MetricName": "Invocations",
        "Dimensions": dimensions,
        "Value": 1.0,
        "Timestamp": datetime.now(UTC) - timedelta(hours=hours_ago),
    }
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[point])


def there(aws: Any) -> list[str]:
    return [one["EndpointName"] for one in aws.list_endpoints()["Endpoints"]]


def mails() -> list[dict[str, Any]]:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="mail")["QueueUrl"]
    return [json.loads(one["Body"]) for one in sqs.receive_message(QueueUrl=url).get("Messages", [])]


def test_an_endpoint_that_nobody_calls_goes_and_somebody_is_told(aws: Any, endpoint: Callable[..., None]) -> None:
    endpoint(hours_ago=HOURS + 0.01)
    called(hours_ago=HOURS + 1.5)
    assert idle_guard.handler({}, None) == "deleted"
    assert there(aws) == []
    assert aws.list_endpoint_configs()["EndpointConfigs"][0]["EndpointConfigName"] == "c"
    (mail,) = mails()
    assert mail["Subject"] == "Easel: the endpoint was taken down"
    assert "Nobody called e for 4 hours" in mail["Message"]
    assert "Bring it back with: easel resume" in mail["Message"]
    assert idle_guard.handler({}, None) == "missing"
    assert mails() == []


def test_a_call_keeps_it(aws: Any, endpoint: Callable[..., None]) -> None:
    endpoint(hours_ago=100)
    called(hours_ago=HOURS - 0.5)
    assert idle_guard.handler({}, None) == "called"
    assert there(aws) == ["e"]


def test_a_new_one_is_given_its_time(aws: Any, endpoint: Callable[..., None]) -> None:
    endpoint(hours_ago=HOURS - 0.1)
    assert idle_guard.handler({}, None) == "young"
    assert there(aws) == ["e"]


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack", "Failed", "Deleting"])
def test_one_that_moves_is_left_alone(aws: Any, endpoint: Callable[..., None], status: str) -> None:
    endpoint(hours_ago=100, status=status)
    assert idle_guard.handler({}, None) == "moving"
    assert there(aws) == ["e"]


def test_numbers_that_cannot_be_read_delete_nothing(
    aws: Any, endpoint: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint(hours_ago=100)

    def refused(*_: object) -> float:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricStatistics")

    monkeypatch.setattr(idle_guard, "_calls", refused)
    with pytest.raises(ClientError):
        idle_guard.handler({}, None)
    assert there(aws) == ["e"]
