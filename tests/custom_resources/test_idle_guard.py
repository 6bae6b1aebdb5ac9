"""The idle guard, against moto's SageMaker, CloudWatch and SNS."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from custom_resources import idle_guard

REGION, HOURS = "us-east-1", 4


@pytest.fixture
def sagemaker(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic, queue = sns.create_topic(Name="alerts")["TopicArn"], sqs.create_queue(QueueName="mail")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    variables = {
        "NAME": "easel-dev",
        "ENDPOINT": "e",
        "VARIANT": "AllTraffic",
        "IDLE_HOURS": str(HOURS),
        "ALERTS": topic,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"EASEL_{name}", value)
    return boto3.client("sagemaker")


@pytest.fixture
def create_endpoint(sagemaker: Any) -> Callable[..., None]:
    """Creates the endpoint `e`, last changed some hours ago."""

    def create(hours_ago: float, status: str = "InService") -> None:
        role = "arn:aws:iam::123456789012:role/r"
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}]
        )
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        endpoint = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION].endpoints["e"]
        changed = datetime.now(UTC) - timedelta(hours=hours_ago)
        endpoint.last_modified_time, endpoint.endpoint_status = changed.strftime("%Y-%m-%d %H:%M:%S"), status

    return create


def count_request(hours_ago: float, variant: str = "AllTraffic") -> None:
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": variant}]
    point = {
        "MetricName": "Invocations",
        "Dimensions": dimensions,
        "Value": 1.0,
        "Timestamp": datetime.now(UTC) - timedelta(hours=hours_ago),
    }
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[point])


def endpoints(sagemaker: Any) -> list[str]:
    return [endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]]


def mails() -> list[dict[str, Any]]:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="mail")["QueueUrl"]
    return [json.loads(message["Body"]) for message in sqs.receive_message(QueueUrl=url).get("Messages", [])]


def test_an_idle_endpoint_is_deleted_and_a_mail_is_sent(sagemaker: Any, create_endpoint: Callable[..., None]) -> None:
    create_endpoint(hours_ago=HOURS + 0.01)
    count_request(hours_ago=HOURS + 1.5)
    assert idle_guard.handler({}, None) == "deleted"
    assert endpoints(sagemaker) == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"][0]["EndpointConfigName"] == "c"
    (mail,) = mails()
    assert mail["Subject"].startswith("EaselDev: ")
    for value in (
        " e ",
        f"{HOURS} hours",
        "easel resume --name easel-dev",
        "npx cdk deploy -c name=easel-dev EaselDevModel",
    ):
        assert value in mail["Message"]
    assert idle_guard.handler({}, None) == "missing"
    assert mails() == []


def test_a_request_keeps_the_endpoint(sagemaker: Any, create_endpoint: Callable[..., None]) -> None:
    create_endpoint(hours_ago=100)
    count_request(hours_ago=HOURS - 0.5)
    assert idle_guard.handler({}, None) == "called"
    assert endpoints(sagemaker) == ["e"]


def test_a_new_endpoint_is_kept(sagemaker: Any, create_endpoint: Callable[..., None]) -> None:
    create_endpoint(hours_ago=HOURS - 0.1)
    assert idle_guard.handler({}, None) == "young"
    assert endpoints(sagemaker) == ["e"]


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack", "Failed", "Deleting"])
def test_an_endpoint_that_is_not_in_service_is_kept(
    sagemaker: Any, create_endpoint: Callable[..., None], status: str
) -> None:
    create_endpoint(hours_ago=100, status=status)
    assert idle_guard.handler({}, None) == "moving"
    assert endpoints(sagemaker) == ["e"]


def test_an_unreadable_metric_deletes_nothing(
    sagemaker: Any, create_endpoint: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_endpoint(hours_ago=100)

    def refuse(*_: object) -> float:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricStatistics")

    monkeypatch.setattr(idle_guard, "_requests", refuse)
    with pytest.raises(ClientError):
        idle_guard.handler({}, None)
    assert endpoints(sagemaker) == ["e"]
