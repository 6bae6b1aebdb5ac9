"""`easel pause` and `easel resume` with a fake SageMaker that has every state of an endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, SSOTokenLoadError

from easel.cloud.account import open_account
from easel.cloud.known_failures import advice_for
from easel.cloud.pause import POLL_ATTEMPTS, SCALES, EndpointSwitch
from easel.cloud.stack_state import RECREATE_ENDPOINT, find_endpoints
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.terminal import Terminal
from stacks.config.names import STOP_MARKER
from tests.easel.cloud.fake_aws import REGION, client_error
from tests.easel.cloud.fake_deployment import ARN, CONFIG, NAME, NOW, TEMPLATE, FakeDeployment, endpoint_response, stack


def error_of(action: Callable[[], str]) -> CommandError:
    with pytest.raises(CommandError) as caught:
        action()
    return caught.value


def test_pause_deletes_the_endpoint_and_keeps_its_configuration() -> None:
    aws = FakeDeployment("InService")
    output = aws.switch().pause()
    for part in (f"{NAME} is paused.", "1.408 USD per hour (1028 per month)", "endpoint_missing", "easel resume"):
        assert part in output
    assert aws.calls("sagemaker.DeleteEndpoint") == [{"EndpointName": NAME}]
    assert aws.states == ["gone"]


@pytest.mark.parametrize(("failed_polls", "resumed"), [(POLL_ATTEMPTS - 1, True), (POLL_ATTEMPTS, False)])
def test_a_wait_continues_if_aws_is_unreachable_for_a_moment(failed_polls: int, resumed: bool) -> None:
    """An abandoned resume would leave an endpoint without autoscaling."""
    aws, failures = FakeDeployment("gone"), [EndpointConnectionError(endpoint_url="x")] * failed_polls

    def describe(request: Any) -> Any:
        created = bool(aws.calls("sagemaker.CreateEndpoint"))
        return failures.pop() if created and failures else aws.describe(request)

    aws.responses["sagemaker.DescribeEndpoint"] = describe
    if resumed:
        assert NAME in aws.switch().resume()
    else:
        assert error_of(aws.switch().resume).code == ENVIRONMENT
    assert bool(aws.calls("application-autoscaling.PutScalingPolicy")) is resumed


def test_resume_ends_a_stop_by_the_budget_before_it_starts_anything() -> None:
    """While the marker exists, the stack's function stops the endpoint again. An async endpoint scales again."""
    aws = FakeDeployment("InService", mode="async")
    aws.stop_by_budget()
    assert "takes jobs again" in aws.switch().resume()
    assert aws.calls("s3.DeleteObject") == [{"Bucket": "store", "Key": STOP_MARKER}]
    names = [name for name, _ in aws.requests]
    (registered,) = aws.calls("application-autoscaling.RegisterScalableTarget")
    assert (registered["MinCapacity"], registered["SuspendedState"]) == (1, SCALES)
    assert set(SCALES.values()) == {False}
    assert names.index("s3.DeleteObject") < names.index("application-autoscaling.RegisterScalableTarget")
    (started,) = aws.calls("sagemaker.UpdateEndpointWeightsAndCapacities")
    assert started["DesiredWeightsAndCapacities"] == [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]


def test_resume_creates_a_realtime_endpoint_that_the_budget_stopped() -> None:
    aws = FakeDeployment("gone")
    aws.stop_by_budget()
    aws.switch().resume()
    names = [name for name, _ in aws.requests]
    assert names.index("s3.DeleteObject") < names.index("sagemaker.CreateEndpoint")


def test_resume_deletes_no_marker_that_is_not_there() -> None:
    aws = FakeDeployment("InService")
    aws.stop_by_budget()
    aws.responses["s3.GetObject"] = client_error("NoSuchKey", "The specified key does not exist.")
    aws.switch().resume()
    assert not aws.calls("s3.DeleteObject")


def test_resume_does_not_change_an_async_endpoint_in_service() -> None:
    """Its scaling policies refer to resources that only CloudFormation can resolve."""
    aws = FakeDeployment("InService", mode="async")
    assert NAME in aws.switch().resume()
    assert not aws.calls("sagemaker.CreateEndpoint")
    assert not aws.calls("application-autoscaling.PutScalingPolicy")


def test_pause_with_fallbacks_names_the_smallest_saving() -> None:
    aws = FakeDeployment("InService")
    config: dict[str, Any] = aws.responses["sagemaker.DescribeEndpointConfig"]  # type: ignore[assignment]
    del config["ProductionVariants"][0]["InstanceType"]
    names = ("ml.g5.xlarge", "ml.g6.xlarge")
    pools = [{"InstanceType": name, "Priority": i} for i, name in enumerate(names, 1)]
    config["ProductionVariants"][0]["InstancePools"] = pools
    assert "at least 1.127 USD per hour (822 per month)" in aws.switch().pause()


def test_a_second_pause_changes_nothing() -> None:
    aws = FakeDeployment("gone")
    assert NAME in aws.switch().pause()
    assert not aws.calls("sagemaker.DeleteEndpoint")


def test_pause_waits_until_a_change_has_finished(capsys: pytest.CaptureFixture[str]) -> None:
    """SageMaker refuses to delete an endpoint that is Creating or Updating."""
    aws = FakeDeployment("Updating", "Updating", "InService")
    aws.switch().pause()
    assert len(aws.calls("sagemaker.DeleteEndpoint")) == 1
    first, _ = capsys.readouterr().err.splitlines()
    assert "Updating" in first


@pytest.mark.parametrize("minimum", [0, 1])
def test_pause_keeps_an_async_endpoint(minimum: int) -> None:
    """It scales to zero, unless min_instances keeps instances running and billed: then pause fails."""
    aws = FakeDeployment("InService", mode="async")
    body = json.dumps(TEMPLATE).replace('"MinCapacity": 1', f'"MinCapacity": {minimum}')
    aws.responses["cloudformation.GetTemplate"] = {"TemplateBody": body}
    if minimum:
        error = error_of(aws.switch().pause)
        assert (error.where, "min_instances=1" in error.why) == (NAME, True)
        assert error.fix.startswith("npx cdk deploy EaselModel -c min_instances=0")
    else:
        assert "async" in aws.switch().pause()
    assert not aws.calls("sagemaker.DeleteEndpoint")


def test_resume_creates_the_deployed_endpoint() -> None:
    """Name, configuration, tags and autoscaling are those of the stack."""
    aws = FakeDeployment("gone")
    output = aws.switch().resume()
    assert NAME in output
    assert CONFIG in output
    tags = [{"Key": "easel:app", "Value": "easel"}]
    assert aws.calls("sagemaker.CreateEndpoint") == [{"EndpointName": NAME, "EndpointConfigName": CONFIG, "Tags": tags}]
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    assert aws.calls("application-autoscaling.RegisterScalableTarget") == [
        {**target, "MinCapacity": 1, "MaxCapacity": 3, "SuspendedState": SCALES}
    ]
    (policy,) = aws.calls("application-autoscaling.PutScalingPolicy")
    assert policy.items() >= {**target, "PolicyName": "Tracking", "PolicyType": "TargetTrackingScaling"}.items()
    names = [name for name, _ in aws.requests]
    assert names.index("application-autoscaling.RegisterScalableTarget") > names.index("sagemaker.CreateEndpoint")


def test_a_second_resume_creates_nothing() -> None:
    aws = FakeDeployment("Creating", "InService")
    assert NAME in aws.switch().resume()
    assert not aws.calls("sagemaker.CreateEndpoint")


def test_resume_waits_until_a_pause_has_finished() -> None:
    aws = FakeDeployment("Deleting", "gone")
    assert NAME in aws.switch().resume()
    assert len(aws.calls("sagemaker.CreateEndpoint")) == 1


def test_resume_replaces_a_failed_endpoint() -> None:
    aws = FakeDeployment("Failed")
    assert NAME in aws.switch().resume()
    assert len(aws.calls("sagemaker.DeleteEndpoint")) == len(aws.calls("sagemaker.CreateEndpoint")) == 1


def test_resume_reports_why_the_endpoint_did_not_start() -> None:
    aws = FakeDeployment("gone")
    aws.states_after_create = ["Creating", "Failed"]
    aws.failure_reason = "The primary container did not pass the ping health check."
    error = error_of(aws.switch().resume)
    assert (error.code, error.where, error.why) == (FAILED, NAME, aws.failure_reason)
    assert error.fix == advice_for(aws.failure_reason) != ""


def test_resume_without_a_quota_names_the_increase_request() -> None:
    aws = FakeDeployment("gone")
    aws.responses["sagemaker.CreateEndpoint"] = client_error("ResourceLimitExceeded", "The account-level service limit")
    error = error_of(aws.switch().resume)
    assert error.where == "ResourceLimitExceeded"
    assert "easel doctor --request" in error.fix


@pytest.mark.parametrize(("states", "action"), [(("gone",), "resume"), (("InService",), "pause")])
def test_a_wait_ends_after_the_minutes(states: tuple[str, ...], action: str) -> None:
    aws = FakeDeployment(*states)
    aws.states_after_create = ["Creating"]
    aws.responses["sagemaker.DeleteEndpoint"] = lambda _: aws.states.__setitem__(slice(None), ["Deleting"]) or {}
    error = error_of(getattr(aws.switch(minutes=1), action))
    assert ("Creating" if action == "resume" else "Deleting") in error.what
    assert error.why.startswith("1 minutes")
    assert len(aws.calls("sagemaker.DescribeEndpoint")) == 1 + 60 // 5


@pytest.mark.parametrize("state", ["gone", "Failed"])
def test_resume_refuses_an_async_endpoint(state: str) -> None:
    aws = FakeDeployment(state, mode="async")
    assert error_of(aws.switch().resume).fix == RECREATE_ENDPOINT
    assert not aws.calls("sagemaker.DeleteEndpoint")


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_stack_that_is_being_changed_is_refused(action: str) -> None:
    aws = FakeDeployment("InService")
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("UPDATE_IN_PROGRESS")]}
    error = error_of(getattr(aws.switch(), action))
    assert (error.where, "UPDATE_IN_PROGRESS" in error.why) == ("EaselModel", True)
    assert not aws.calls("sagemaker.DeleteEndpoint")


def test_resume_without_a_deploy_names_the_deploy_command() -> None:
    aws = FakeDeployment("gone")
    missing = client_error("ValidationError", "Stack with id EaselModel does not exist")
    aws.responses["cloudformation.DescribeStacks"] = missing
    assert error_of(aws.switch().resume).lines() == [
        "Error: Easel is not deployed",
        f"  where {REGION}",
        "  why   there is no stack EaselModel",
        "  fix   npx cdk deploy --all, or another --region",
    ]


@pytest.mark.parametrize("operation", ["cloudformation.DescribeStacks", "sagemaker.DescribeEndpoint"])
def test_a_missing_login_is_not_mistaken_for_a_missing_resource(operation: str) -> None:
    """boto3's error has the same words as that of AWS for a missing resource."""
    aws = FakeDeployment("InService")
    aws.responses[operation] = SSOTokenLoadError(error_msg="Token for my does not exist")
    error = error_of(aws.switch().pause)
    assert (error.code, error.where) == (ENVIRONMENT, "AWS_PROFILE")
    assert "Token for my does not exist" in error.why
    assert "aws sso login" in error.fix


KEYS = """credential_process = echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s"}'"""


@pytest.mark.parametrize(
    ("profile", "where"),
    [
        ("source_profile = nope\nrole_arn = arn:aws:iam::123456789012:role/r", "InvalidConfigError"),
        ("credential_process = /nonexistent/helper", "profile mine"),
        ("credential_process = echo hello", "profile mine"),
        ("credential_process = echo []", "profile mine"),
        ("credential_process = echo {}", "profile mine"),
        ("credential_process = printf \\377", "profile mine"),
        ("credential_process = false", "profile mine"),
        (f'{KEYS[:-2]}, "SessionToken": 1}}\'', "profile mine"),
        (f'{KEYS[:-2]}, "Expiration": "2001-01-01T00:00Z"}}\'', "profile mine"),
    ],
)
def test_an_unusable_profile_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, where: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[profile mine]\n{profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    error = error_of(lambda: EndpointSwitch(open_account(REGION), 1, Terminal()).pause())
    assert (error.code, error.where) == (ENVIRONMENT, where)
    assert error.fix


def test_resume_without_the_configuration_reports_its_id() -> None:
    aws = FakeDeployment("gone")
    aws.responses["sagemaker.ListEndpointConfigs"] = {"EndpointConfigs": []}
    error = error_of(aws.switch().resume)
    assert error.where.endswith(CONFIG.lower())
    assert error.fix.startswith("npx cdk destroy EaselModel")


# --- several models ------------------------------------------------------------------------------

SECOND = "easel-realtime3d4e5f-other"


def two_models() -> FakeDeployment:
    """Return a deployment with a second model, whose endpoint and configuration have other names."""
    aws = FakeDeployment("InService")
    template: dict[str, Any] = {}
    for id, name in (("", NAME), ("Modelother", SECOND)):
        properties = {"EndpointName": name, "EndpointConfigName": {"Fn::GetAtt": [f"{id}Config", "X"]}}
        template |= {
            f"{id}Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": properties},
            f"{id}Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {}},
            f"{id}Target": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {"MinCapacity": 1, "MaxCapacity": 3, "ResourceId": f"endpoint/{name}/variant/AllTraffic"},
            },
            f"{id}Policy": {
                "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                "Properties": {"PolicyName": f"{id}Policy", "ScalingTargetId": {"Ref": f"{id}Target"}},
            },
        }
    ids = {"Endpoint": NAME, "Config": CONFIG, "ModelotherEndpoint": SECOND, "ModelotherConfig": "second"}
    rows = [
        {"LogicalResourceId": id, "PhysicalResourceId": physical, "ResourceStatus": "CREATE_COMPLETE",
         "ResourceType": template[id]["Type"], "LastUpdatedTimestamp": NOW}
        for id, physical in ids.items()
    ]  # fmt: skip
    outputs = [{"OutputKey": "Endpoints", "OutputValue": f"first={NAME},other={SECOND}"}]
    configs = [
        {"EndpointConfigName": id, "EndpointConfigArn": f"{ARN}:endpoint-config/{id}", "CreationTime": NOW}
        for id in (CONFIG, "second")
    ]
    aws.responses |= {
        "cloudformation.DescribeStacks": {"Stacks": [{**stack("UPDATE_COMPLETE"), "Outputs": outputs}]},
        "cloudformation.ListStackResources": {"StackResourceSummaries": rows},
        "cloudformation.GetTemplate": {"TemplateBody": json.dumps({"Resources": template})},
        "sagemaker.ListEndpointConfigs": {"EndpointConfigs": configs},
    }
    return aws


def test_each_endpoint_has_its_own_configuration() -> None:
    found = find_endpoints(two_models().account())
    assert [(each.model, each.endpoint, each.config) for each in found] == [
        ("first", NAME, CONFIG), ("other", SECOND, "second"),
    ]  # fmt: skip


def test_pause_deletes_only_the_endpoint_of_the_named_model() -> None:
    aws = two_models()
    EndpointSwitch(aws.account(), 5, Terminal(), sleep=lambda _: None, model="other").pause()
    assert aws.calls("sagemaker.DeleteEndpoint") == [{"EndpointName": SECOND}]


def test_resume_restores_the_scaling_of_each_endpoint() -> None:
    aws = two_models()
    text = EndpointSwitch(aws.account(), 5, Terminal(), sleep=lambda _: None).resume()
    assert text.splitlines() == [f"{name} is already in service." for name in (NAME, SECOND)]
    calls = aws.calls("application-autoscaling.PutScalingPolicy")
    policies = {call["PolicyName"]: call["ResourceId"].split("/")[1] for call in calls}
    assert policies == {"Policy": NAME, "ModelotherPolicy": SECOND}


def refusing_to_delete(endpoint: str) -> FakeDeployment:
    """Return a deployment of two models whose endpoint of this name AWS refuses to delete."""
    aws = two_models()
    refusal, in_service = client_error("ThrottlingException", "Rate exceeded"), endpoint_response(CONFIG, "InService")

    def delete(request: Any) -> Any:
        return refusal if request["EndpointName"] == endpoint else aws.delete(request)

    def describe(request: Any) -> Any:
        return in_service if request["EndpointName"] == endpoint else aws.describe(request)

    aws.responses |= {"sagemaker.DeleteEndpoint": delete, "sagemaker.DescribeEndpoint": describe}
    return aws


@pytest.mark.parametrize(("refused", "model"), [(NAME, "first"), (SECOND, "other")])
def test_pause_goes_on_after_an_endpoint_that_fails(
    refused: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = refusing_to_delete(refused)
    error = error_of(EndpointSwitch(aws.account(), 5, Terminal(), sleep=lambda _: None).pause)
    (paused,) = {NAME, SECOND} - {refused}
    assert {call["EndpointName"] for call in aws.calls("sagemaker.DeleteEndpoint")} == {NAME, SECOND}
    assert (error.what, error.where, error.code) == ("1 of 2 endpoints failed", model, ENVIRONMENT)
    assert error.why.startswith(f"{model}: ") and "Rate exceeded" in error.why
    assert f"{paused} is paused." in capsys.readouterr().err


def test_resume_reports_every_endpoint_that_fails() -> None:
    aws = two_models()
    aws.responses["sagemaker.DescribeEndpoint"] = client_error("AccessDeniedException", "not allowed")
    error = error_of(EndpointSwitch(aws.account(), 5, Terminal(), sleep=lambda _: None).resume)
    assert (error.what, error.where, error.code) == ("2 of 2 endpoints failed", "first, other", ENVIRONMENT)
    assert [line.partition(":")[0] for line in error.why.splitlines()] == ["first", "other"]


def test_a_stop_by_the_budget_ends_for_all_models_together() -> None:
    """Without the marker the others would accept jobs, and nothing would start them."""
    aws = two_models()
    names = "cloudformation.DescribeStacks"
    models: Any = aws.responses[names]
    aws.stop_by_budget()
    storage: Any = aws.responses[names]
    aws.responses[names] = {"Stacks": [*models["Stacks"], *storage["Stacks"][1:]]}
    switch = EndpointSwitch(aws.account(), 5, Terminal(), sleep=lambda _: None, model="other")
    assert error_of(switch.resume).code == USAGE
    assert not aws.calls("s3.DeleteObject")


def test_a_model_that_is_not_deployed_is_a_usage_error() -> None:
    error = error_of(lambda: EndpointSwitch(two_models().account(), 1, Terminal(), model="gone").pause())
    assert (error.code, "first, other" in error.fix) == (USAGE, True)
