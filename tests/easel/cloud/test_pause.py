"""`easel pause` and `easel resume` before a SageMaker that plays every state of an endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, SSOTokenLoadError

from easel.cloud.account import Account, open_account
from easel.cloud.pause import TRIES, Switch
from easel.cloud.stack_state import ANEW
from easel.console.errors import CommandError
from easel.console.terminal import Terminal
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws, refusal

NAME, CONFIG = "easel-realtime0a1b2c-0123", "EndpointConfig1A2B-XyZ"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
TAGS = [{"Key": "easel:app", "Value": "easel"}, {"Key": "aws:cloudformation:stack-name", "Value": "EaselModel"}]

TEMPLATE = {
    "Resources": {
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": "Tracking",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1},
            },
        },
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {"MinCapacity": 1, "MaxCapacity": 3, "ResourceId": {"Fn::Join": ["/", []]}},
        },
        "Config": {"Type": "AWS::SageMaker::EndpointConfig"},
    }
}
"""What of a template `resume` reads; tests/stacks holds it against the real one."""


class World(FakeAws):
    """A deployed realtime Easel. `coming` are the states that the endpoint passes, one a look; the last one stays."""

    def __init__(self, *coming: str, mode: str = "realtime") -> None:
        super().__init__()
        self.coming, self.after_create, self.reason = list(coming), ["Creating", "InService"], ""
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.g5.xlarge"}
        configured: dict[str, Any] = {
            "EndpointConfigName": CONFIG,
            "EndpointConfigArn": f"{ARN}:endpoint-config/{CONFIG.lower()}",
            "ProductionVariants": [{**variant, "InitialInstanceCount": 1}],
            "CreationTime": NOW,
        }
        if mode == "async":
            configured["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://b/answers"}}
        listed = {key: configured[key] for key in ("EndpointConfigName", "EndpointConfigArn", "CreationTime")}
        self.answers |= {
            "cloudformation.DescribeStacks": {"Stacks": [stack("UPDATE_COMPLETE")]},
            "cloudformation.ListStackResources": {"StackResourceSummaries": [*resources()]},
            "cloudformation.GetTemplate": {"TemplateBody": json.dumps(TEMPLATE)},
            "sagemaker.ListEndpointConfigs": {"EndpointConfigs": [listed]},
            "sagemaker.DescribeEndpointConfig": configured,
            "sagemaker.ListTags": {"Tags": TAGS},
            "sagemaker.DescribeEndpoint": self.describe,
            "sagemaker.DeleteEndpoint": self.delete,
            "sagemaker.CreateEndpoint": self.create,
            "application-autoscaling.RegisterScalableTarget": {},
            "application-autoscaling.PutScalingPolicy": {"PolicyARN": "arn"},
        }

    def describe(self, _: Any) -> Any:
        state = self.coming.pop(0) if len(self.coming) > 1 else self.coming[0]
        if state == "gone":
            return refusal("ValidationException", f'Could not find endpoint "{ARN}:endpoint/{NAME}".')
        told = {"EndpointName": NAME, "EndpointArn": f"{ARN}:endpoint/{NAME}", "EndpointConfigName": CONFIG}
        times = {"CreationTime": NOW, "LastModifiedTime": NOW}
        return {**told, **times, "EndpointStatus": state, **({"FailureReason": self.reason} if self.reason else {})}

    def delete(self, _: Any) -> Any:
        self.coming = ["Deleting", "gone"]
        return {}

    def create(self, _: Any) -> Any:
        self.coming = [*self.after_create]
        return {"EndpointArn": f"{ARN}:endpoint/{NAME}"}

    def switch(self, minutes: int = 5) -> Switch:
        return Switch(self.account(), minutes, Terminal(), sleep=lambda _: None)


def stack(status: str) -> dict[str, Any]:
    return {"StackName": "EaselModel", "CreationTime": NOW, "StackStatus": status}


def resources() -> list[dict[str, Any]]:
    """An older configuration is on its way out, as after an update that could not clean up."""
    rows = [
        ("Endpoint", f"{ARN}:endpoint/{NAME}", "CREATE_COMPLETE"),
        ("EndpointConfig", f"{ARN}:endpoint-config/{CONFIG.lower()}", "CREATE_COMPLETE"),
        ("EndpointConfig", f"{ARN}:endpoint-config/old", "DELETE_FAILED"),
    ]
    return [
        {
            "LogicalResourceId": f"{kind}{i}",
            "PhysicalResourceId": id,
            "ResourceType": f"AWS::SageMaker::{kind}",
            "ResourceStatus": status,
            "LastUpdatedTimestamp": NOW,
        }
        for i, (kind, id, status) in enumerate(rows)
    ]


def test_pause_deletes_the_endpoint_and_keeps_its_configuration() -> None:
    world = World("InService")
    assert world.switch().pause() == (
        f"{NAME} is paused. That saves about 1.408 USD an hour (1028 a month). "
        "The API answers endpoint_missing. Back with: easel resume"
    )
    assert world.calls("sagemaker.DeleteEndpoint") == [{"EndpointName": NAME}]
    assert world.coming == ["gone"]


@pytest.mark.parametrize(("lost", "resumed"), [(TRIES - 1, True), (TRIES, False)])
def test_a_wait_outlives_a_moment_without_aws(lost: int, resumed: bool) -> None:
    """A resume that ends early leaves an endpoint that does not scale."""
    world, failures = World("gone"), [EndpointConnectionError(endpoint_url="x")] * lost

    def describe(asked: Any) -> Any:
        creating = bool(world.calls("sagemaker.CreateEndpoint"))
        return failures.pop() if creating and failures else world.describe(asked)

    world.answers["sagemaker.DescribeEndpoint"] = describe
    if resumed:
        assert "is in service again" in world.switch().resume()
        assert world.calls("application-autoscaling.PutScalingPolicy")
    else:
        assert failure(world.switch().resume)[0] == "Error: AWS cannot be reached"


def test_resume_leaves_an_async_endpoint_that_is_in_service_alone() -> None:
    """Its policies name what only CloudFormation can put in."""
    world = World("InService", mode="async")
    assert world.switch().resume() == f"{NAME} is in service already."
    assert not world.calls("application-autoscaling.PutScalingPolicy")


def test_pause_with_fallbacks_says_what_it_saves_at_least() -> None:
    world = World("InService")
    config: dict[str, Any] = world.answers["sagemaker.DescribeEndpointConfig"]  # type: ignore[assignment]
    del config["ProductionVariants"][0]["InstanceType"]
    names = ("ml.g5.xlarge", "ml.g6.xlarge")
    pools = [{"InstanceType": name, "Priority": i} for i, name in enumerate(names, 1)]
    config["ProductionVariants"][0]["InstancePools"] = pools
    assert "That saves at least 1.127 USD an hour (822 a month)." in world.switch().pause()


def test_a_second_pause_changes_nothing() -> None:
    world = World("gone")
    assert "is paused already" in world.switch().pause()
    assert not world.calls("sagemaker.DeleteEndpoint")


def test_pause_waits_for_a_change_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    """SageMaker deletes no endpoint that is Creating or Updating."""
    world = World("Updating", "Updating", "InService")
    world.switch().pause()
    assert len(world.calls("sagemaker.DeleteEndpoint")) == 1
    assert capsys.readouterr().err.splitlines() == ["The endpoint is Updating …", "The endpoint is going …"]


@pytest.mark.parametrize("least", [0, 1])
def test_pause_of_what_sleeps_by_itself(least: int) -> None:
    """Unless it was deployed so that it does not: then it is billed, and nobody may believe that it is paused."""
    world = World("InService", mode="async")
    body = json.dumps(TEMPLATE).replace('"MinCapacity": 1', f'"MinCapacity": {least}')
    world.answers["cloudformation.GetTemplate"] = {"TemplateBody": body}
    if least:
        assert failure(world.switch().pause)[3].startswith("  fix   npx cdk deploy EaselModel -c min_instances=0, or")
    else:
        assert "scales to zero by itself" in world.switch().pause()
    assert not world.calls("sagemaker.DeleteEndpoint")


def test_resume_makes_what_was_deployed() -> None:
    """The same name, the stack's configuration, our tags, and the scaling that went with the endpoint."""
    world = World("gone")
    assert world.switch().resume() == f"{NAME} is in service again, with {CONFIG}."
    ours = [{"Key": "easel:app", "Value": "easel"}]
    assert world.calls("sagemaker.CreateEndpoint") == [
        {"EndpointName": NAME, "EndpointConfigName": CONFIG, "Tags": ours}
    ]
    where = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    assert world.calls("application-autoscaling.RegisterScalableTarget") == [
        {**where, "MinCapacity": 1, "MaxCapacity": 3}
    ]
    (policy,) = world.calls("application-autoscaling.PutScalingPolicy")
    assert policy.items() >= {**where, "PolicyName": "Tracking", "PolicyType": "TargetTrackingScaling"}.items()
    names = [name for name, _ in world.asked]
    assert names.index("application-autoscaling.RegisterScalableTarget") > names.index("sagemaker.CreateEndpoint")


def test_a_second_resume_starts_nothing() -> None:
    world = World("Creating", "InService")
    assert world.switch().resume() == f"{NAME} is in service already."
    assert not world.calls("sagemaker.CreateEndpoint")


def test_resume_waits_for_a_pause_to_end() -> None:
    world = World("Deleting", "gone")
    assert "in service again" in world.switch().resume()


def test_a_failed_endpoint_is_made_anew() -> None:
    world = World("Failed")
    assert "in service again" in world.switch().resume()
    assert len(world.calls("sagemaker.DeleteEndpoint")) == len(world.calls("sagemaker.CreateEndpoint")) == 1


def failure(act: Callable[[], str]) -> list[str]:
    with pytest.raises(CommandError) as failed:
        act()
    return failed.value.lines()


def test_resume_tells_why_the_endpoint_did_not_start() -> None:
    world = World("gone")
    world.after_create = ["Creating", "Failed"]
    world.reason = "The primary container did not pass the ping health check."
    assert failure(world.switch().resume) == [
        "Error: The endpoint did not start",
        f"  where {NAME}",
        "  why   The primary container did not pass the ping health check.",
        "  fix   The container did not start: its last log lines say why (easel doctor shows them).",
    ]


def test_resume_without_quota() -> None:
    world = World("gone")
    world.answers["sagemaker.CreateEndpoint"] = refusal("ResourceLimitExceeded", "The account-level service limit …")
    assert failure(world.switch().resume)[:2] == ["Error: AWS refused CreateEndpoint", "  where ResourceLimitExceeded"]
    assert "easel doctor --request" in failure(world.switch().resume)[3]


@pytest.mark.parametrize(("states", "act"), [(("gone",), "resume"), (("InService",), "pause")])
def test_the_wait_is_bounded(states: tuple[str, ...], act: str) -> None:
    world = World(*states)
    world.after_create = ["Creating"]
    world.answers["sagemaker.DeleteEndpoint"] = lambda _: world.coming.__setitem__(slice(None), ["Deleting"]) or {}
    said = failure(getattr(world.switch(minutes=1), act))
    assert said[0] == f"Error: The endpoint is still {'Creating' if act == 'resume' else 'Deleting'}"
    assert said[2].startswith("  why   1 minutes have passed")
    assert len(world.calls("sagemaker.DescribeEndpoint")) == 1 + 60 // 5


@pytest.mark.parametrize("state", ["gone", "Failed"])
def test_an_async_endpoint_is_left_to_cloudformation(state: str) -> None:
    world = World(state, mode="async")
    assert failure(world.switch().resume)[3] == f"  fix   {ANEW}"
    assert not world.calls("sagemaker.DeleteEndpoint")


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_a_stack_that_changes_is_left_alone(act: str) -> None:
    world = World("InService")
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack("UPDATE_IN_PROGRESS")]}
    assert failure(getattr(world.switch(), act))[0] == "Error: The stack is being changed"


def test_nothing_is_deployed() -> None:
    world = World("gone")
    gone = refusal("ValidationError", "Stack with id EaselModel does not exist")
    world.answers["cloudformation.DescribeStacks"] = gone
    assert failure(world.switch().resume) == [
        "Error: Easel is not deployed",
        f"  where {REGION}",
        "  why   there is no stack EaselModel",
        "  fix   npx cdk deploy --all, or another --region",
    ]


@pytest.mark.parametrize("operation", ["cloudformation.DescribeStacks", "sagemaker.DescribeEndpoint"])
def test_who_is_not_logged_in_hears_that_and_not_that_all_is_gone(operation: str) -> None:
    """What boto3 says of this machine has the words by which AWS says that something is not there."""
    world = World("InService")
    world.answers[operation] = SSOTokenLoadError(error_msg="Token for my does not exist")
    assert failure(world.switch().pause) == [
        "Error: You are not logged in to AWS",
        "  where the shell",
        "  why   Error loading SSO Token: Token for my does not exist",
        "  fix   aws sso login, or aws login: as this shell's AWS_PROFILE was made",
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("source_profile = nope\nrole_arn = arn:aws:iam::123456789012:role/r", "AWS could not be asked"),
        ("credential_process = /nonexistent/helper", "AWS could not be asked"),
        ("credential_process = echo hello", "AWS could not be asked"),
        ("credential_process = false", "There are no AWS credentials"),
    ],
)
def test_a_profile_that_does_not_work_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, said: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[profile mine]\n{settings}\n")
    told = {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "none", "AWS_PROFILE": "mine"}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    lines = failure(lambda: Switch(open_account(REGION), 1, Terminal()).pause())
    assert (lines[0], lines[3][:8]) == (f"Error: {said}", "  fix   ")


def test_the_configuration_was_deleted() -> None:
    world = World("gone")
    world.answers["sagemaker.ListEndpointConfigs"] = {"EndpointConfigs": []}
    assert failure(world.switch().resume)[0] == "Error: The endpoint's configuration is gone"


def test_an_account_makes_each_client_once() -> None:
    account: Account = FakeAws().account()
    assert account.client("sagemaker") is account.client("sagemaker", REGION)
    assert account.client("sagemaker", "us-east-1").meta.region_name == "us-east-1"
