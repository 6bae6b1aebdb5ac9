"""The stop at 100 % of the budget, against moto's S3, SageMaker, Application Auto Scaling and SNS."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from custom_resources import budget_stop
from custom_resources.names import STOP_MARKER

BUCKET, ENDPOINT, VARIANT = "store", "e", "AllTraffic"
NOTICE = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "AWS Budget Notification"}}]}
CHECK = {"source": "aws.events"}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{ENDPOINT}/variant/{VARIANT}",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


class Cloud:
    """An account with an endpoint of one instance, and a queue that receives the mails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
        self.s3, self.sagemaker, self.sqs = (boto3.client(name) for name in ("s3", "sagemaker", "sqs"))
        self.scaling, sns = boto3.client("application-autoscaling"), boto3.client("sns")
        self.s3.create_bucket(Bucket=BUCKET)
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="mail")["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
        variables = {
            "NAME": "easel-dev", "ENDPOINTS": ENDPOINT, "VARIANT": VARIANT, "MODE": mode, "BUCKET": BUCKET,
            "BUDGET_USD": "50", "ALERTS": topic,
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(f"EASEL_{name}", value)
        self._create_endpoint()
        self.scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)

    def _create_endpoint(self) -> None:
        role = "arn:aws:iam::123456789012:role/r"
        self.sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
        variant = {"VariantName": VARIANT, "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        self.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        self.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="c")

    def become(self, status: str) -> None:
        sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].endpoints[ENDPOINT].endpoint_status = status

    def instances(self) -> int | None:
        """Return the number of instances; None without an endpoint."""
        if not self.sagemaker.list_endpoints()["Endpoints"]:
            return None
        variants = self.sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
        return int(variants[0]["CurrentInstanceCount"])

    def is_marked(self) -> bool:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())] == [STOP_MARKER]

    def target(self) -> Any:
        return self.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]

    def mails(self) -> list[dict[str, Any]]:
        messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def cloud(aws: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Cloud:
    return Cloud(monkeypatch, getattr(request, "param", "async"))


REALTIME = pytest.mark.parametrize("cloud", ["realtime"], indirect=True)


def test_an_async_endpoint_loses_its_instances_and_its_autoscaling(cloud: Cloud) -> None:
    assert budget_stop.handler(NOTICE, None) == "stopped"
    assert (cloud.instances(), cloud.is_marked()) == (0, True)
    marker = json.loads(cloud.s3.get_object(Bucket=BUCKET, Key=STOP_MARKER)["Body"].read())
    assert (marker["budget_usd"], marker.keys()) == (50, {"stopped_at", "budget_usd"})
    target = cloud.target()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
    assert set(target["SuspendedState"].values()) == {True}


@REALTIME
def test_a_realtime_endpoint_is_deleted_and_keeps_its_configuration(cloud: Cloud) -> None:
    assert budget_stop.handler(NOTICE, None) == "deleted"
    assert (cloud.instances(), cloud.is_marked()) == (None, True)
    assert [item["EndpointConfigName"] for item in cloud.sagemaker.list_endpoint_configs()["EndpointConfigs"]] == ["c"]


def test_one_mail_says_what_happened_and_what_ends_it(cloud: Cloud) -> None:
    budget_stop.handler(NOTICE, None)
    budget_stop.handler(CHECK, None)
    (mail,) = cloud.mails()
    assert mail["Subject"].startswith("EaselDev: ")
    assert len(mail["Subject"]) <= 100  # the most that SNS accepts
    for part in (f" {ENDPOINT} ", "50 USD", "easel resume --name easel-dev"):
        assert part in mail["Message"]


def test_a_check_changes_nothing_without_a_stop(cloud: Cloud) -> None:
    assert budget_stop.handler(CHECK, None) == "not stopped"
    assert (cloud.instances(), cloud.is_marked(), cloud.target()["MinCapacity"]) == (1, False, 1)


def test_instances_that_a_deploy_starts_are_stopped_again(cloud: Cloud) -> None:
    budget_stop.handler(NOTICE, None)
    wanted = {"VariantName": VARIANT, "DesiredInstanceCount": 1}
    cloud.sagemaker.update_endpoint_weights_and_capacities(EndpointName=ENDPOINT, DesiredWeightsAndCapacities=[wanted])
    assert [budget_stop.handler(CHECK, None) for _ in range(2)] == ["stopped", "empty"]
    assert cloud.instances() == 0


@pytest.mark.parametrize(("cloud", "status"), [("async", "Updating"), ("realtime", "Creating")], indirect=["cloud"])
def test_an_endpoint_that_is_changing_is_stopped_by_a_later_check(cloud: Cloud, status: str) -> None:
    """SageMaker refuses to change or delete it. Jobs are refused at once."""
    cloud.become(status)
    assert budget_stop.handler(NOTICE, None) == "moving"
    assert (cloud.instances(), cloud.is_marked()) == (1, True)
    assert "being changed" in cloud.mails()[0]["Message"]
    cloud.become("InService")
    assert budget_stop.handler(CHECK, None) in ("stopped", "deleted")
    assert not cloud.instances()


def test_every_endpoint_is_stopped(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_ENDPOINTS", f"gone,{ENDPOINT}")
    assert budget_stop.handler(NOTICE, None) == "missing, stopped"
    assert cloud.instances() == 0
    (mail,) = cloud.mails()
    assert all(f" {name} " in mail["Message"] for name in ("gone", ENDPOINT))


@REALTIME
def test_a_paused_endpoint_stays_paused(cloud: Cloud) -> None:
    cloud.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    assert budget_stop.handler(NOTICE, None) == "missing"
    assert cloud.is_marked()
    assert "paused before" in cloud.mails()[0]["Message"]


REFUSED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "RegisterScalableTarget")


@pytest.mark.parametrize("refusal", [REFUSED, EndpointConnectionError(endpoint_url="x")], ids=["refused", "away"])
def test_a_failed_stop_is_mailed_and_raises_with_each_check(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """The schedule tries every five minutes, and each failure of it counts for the alarm."""
    stop = budget_stop._stop

    def refuse(endpoint: str) -> str:
        if endpoint == "refused":
            raise refusal
        return stop(endpoint)

    monkeypatch.setattr(budget_stop, "_stop", refuse)
    monkeypatch.setenv("EASEL_ENDPOINTS", f"refused,{ENDPOINT}")
    assert budget_stop.handler(NOTICE, None) == "failed, stopped"
    assert (cloud.instances(), cloud.is_marked()) == (0, True)
    with pytest.raises(type(refusal)):
        budget_stop.handler(CHECK, None)
    (mail,) = cloud.mails()
    assert "1 of 2 endpoints not stopped" in mail["Subject"]
    for part in ("refused is still there", f"{ENDPOINT} is stopping"):
        assert part in mail["Message"]


def test_an_unreadable_marker_is_no_sign_that_nothing_is_stopped(cloud: Cloud) -> None:
    cloud.s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(ClientError):
        budget_stop.handler(CHECK, None)
