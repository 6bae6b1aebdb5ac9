"""Checks of the stacks and alarms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from easel.cloud.doctor import deployment
from easel.cloud.known_failures import advice_for
from stacks.config.names import INFORMATIONAL_TAG
from tests.easel.cloud.doctor.conftest import RunDoctor
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, FakeAws, client_error
from tests.easel.cloud.fake_deployment import NAME, NOW, healthy_deployment, resources, stack

NO_INSTANCES = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances (ResourceLimitExceeded)"


def event(id: str, status: str, reason: str = "", kind: str = "AWS::SageMaker::Endpoint") -> dict[str, Any]:
    stack_event = {"StackId": "s", "EventId": id, "StackName": "EaselModel", "Timestamp": NOW, "LogicalResourceId": id}
    return {**stack_event, "ResourceType": kind, "ResourceStatus": status, "ResourceStatusReason": reason}


EVENTS = [
    event("EaselModel", "ROLLBACK_COMPLETE", kind="AWS::CloudFormation::Stack"),
    event("EaselModel", "ROLLBACK_IN_PROGRESS", "User Initiated", "AWS::CloudFormation::Stack"),
    event("Logs", "CREATE_FAILED", "Resource creation cancelled"),
    event("Endpoint", "CREATE_FAILED", NO_INSTANCES),
    event("EaselModel", "CREATE_IN_PROGRESS", kind="AWS::CloudFormation::Stack"),
    event("Older", "CREATE_FAILED", "in another deploy"),
]


def failed_stack(status: str, events: list[dict[str, Any]]) -> FakeAws:
    return FakeAws(**{
        "cloudformation.DescribeStacks": {"Stacks": [stack(status)]},
        "cloudformation.DescribeStackEvents": {"StackEvents": events},
    })  # fmt: skip


def respond_with(stacks: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    """Respond with all stacks, or with the requested stack, as CloudFormation does."""

    def respond(request: dict[str, Any]) -> Any:
        found = [item for item in stacks if request.get("StackName", item["StackName"]) == item["StackName"]]
        return {"Stacks": found} if found else client_error("ValidationError", f"{request['StackName']} does not exist")

    return respond


@pytest.mark.parametrize(
    ("status", "commands"),
    [
        ("ROLLBACK_FAILED", ["npx cdk destroy EaselModel", "npx cdk deploy --all"]),
        ("UPDATE_ROLLBACK_COMPLETE", ["npx cdk deploy --all"]),
        ("DELETE_FAILED", [
            "npx cdk destroy --all",
            "aws cloudformation delete-stack --stack-name EaselModel --deletion-mode FORCE_DELETE_STACK",
            "easel leftovers",
        ]),
        ("UPDATE_ROLLBACK_FAILED", ["npx cdk rollback EaselModel", "npx cdk deploy --all"]),
    ],
)  # fmt: skip
def test_the_remedy_of_a_failed_stack_is_one_that_cloudformation_accepts(status: str, commands: list[str]) -> None:
    """A stack that could not be deleted accepts no deploy."""
    result = deployment.stacks.run(failed_stack(status, []).account())
    assert_result(result, "failed", "EaselModel", status)
    assert result is not None
    positions = [result.remedy.find(command) for command in commands]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert ("cdk deploy" in result.remedy) is (status != "DELETE_FAILED")


def test_a_stack_before_its_first_deploy_is_unknown(doctor: RunDoctor) -> None:
    """A running deploy prepares each stack. If none runs, the state does not end by itself. It has no template yet."""
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("REVIEW_IN_PROGRESS")]}
    aws.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": []}
    aws.responses["cloudformation.GetTemplate"] = {"TemplateBody": "{}"}
    results = doctor(aws)
    for code in ("stacks", "endpoint"):
        assert_result(results[code], "unknown", "REVIEW_IN_PROGRESS" if code == "stacks" else "yet")
        assert results[code].remedy == "If no deploy is running: npx cdk deploy -c model=emoji --all"


def test_the_first_failure_of_the_last_operation_is_the_reason() -> None:
    result = deployment.stacks.run(failed_stack("ROLLBACK_COMPLETE", EVENTS).account())
    assert_result(result, "failed", f"ROLLBACK_COMPLETE: Endpoint: {NO_INSTANCES}", remedy=advice_for(NO_INSTANCES))


def kept_log(status: str, modified: datetime, *lines: str) -> FakeAws:
    """Return an account whose model stack failed, with a log in the bucket."""
    aws = failed_stack(status, [event("Endpoint", "CREATE_FAILED", "did not pass the ping health check")])
    outputs = [{"OutputKey": "BucketName", "OutputValue": "store"}]
    storage = {**stack("CREATE_COMPLETE", "EaselStorage"), "Outputs": outputs}
    older = {"Key": "failed-starts/older.txt", "LastModified": NOW - timedelta(days=1), "Size": 1}
    newer = {"Key": "failed-starts/e.txt", "LastModified": modified, "Size": 1}
    body = "\n".join(["e: did not pass the ping health check", *lines]).encode()
    aws.responses |= {
        "cloudformation.DescribeStacks": {"Stacks": [storage, stack(status)]},
        "s3.ListObjectsV2": {"Contents": [older, newer], "IsTruncated": False},
        "s3.GetObject": lambda request: {"Body": BytesIO(body if request["Key"] == newer["Key"] else b"wrong")},
    }
    return aws


def test_the_log_of_an_endpoint_that_did_not_start_is_shown() -> None:
    """The log group was deleted by the rollback."""
    crash = "2026-11-24T00:00:00Z No module named 'xformers'"
    aws = kept_log("ROLLBACK_COMPLETE", NOW + timedelta(minutes=20), "first", crash, "2026-11-24T00:00:01Z bye \x1b")
    result = deployment.stacks.run(aws.account())
    assert_result(result, "failed", "s3://store/failed-starts/e.txt", remedy=advice_for("No module named 'xformers'"))
    assert result is not None
    assert result.remedy.endswith("npx cdk destroy EaselModel, then npx cdk deploy --all")
    assert result.log_lines[-2:] == (crash, "2026-11-24T00:00:01Z bye \x1b")
    assert "\x1b" not in result.text(lambda text, _: text)


def test_a_log_of_an_earlier_deploy_is_not_shown() -> None:
    result = deployment.stacks.run(kept_log("ROLLBACK_COMPLETE", NOW - timedelta(hours=1), "old").account())
    assert_result(result, "failed", "ping health check", remedy=advice_for("ping health check"))
    assert result is not None
    assert result.log_lines == ()


def test_advice_to_deploy_is_replaced_if_the_stack_accepts_no_deploy() -> None:
    denied = "AccessDenied: not authorized to perform s3:GetBucketTagging"
    assert "cdk deploy" in advice_for(denied)
    aws = failed_stack("DELETE_FAILED", [event("AutoDelete", "DELETE_FAILED", denied)])
    assert_result(deployment.stacks.run(aws.account()), "failed", denied, remedy="FORCE_DELETE_STACK")


def test_stacks_with_similar_names_are_ignored() -> None:
    others = [stack("ROLLBACK_COMPLETE", name) for name in ("EaselPainter", "EaselApi-prod")]
    aws = FakeAws(**{"cloudformation.DescribeStacks": {"Stacks": others}})
    assert deployment.stacks.run(aws.account()) is None


def test_nothing_is_deployed(doctor: RunDoctor) -> None:
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("CREATE_COMPLETE", "Other")]}
    results = doctor(aws)
    assert_result(results["stacks"], "ok", REGION)
    assert not {"endpoint", "alarms", "container_log"} & results.keys()


@pytest.mark.parametrize("names", [["EaselNotebook"], ["EaselCloud9"], ["EaselCloud9", "EaselNotebook"]])
def test_standalone_stacks_need_no_endpoint(doctor: RunDoctor, names: list[str]) -> None:
    """A remedy that deploys all stacks would start a GPU."""
    aws = healthy_deployment()
    stacks = [stack("CREATE_COMPLETE", name) for name in [*names, "Other"]]
    aws.responses["cloudformation.DescribeStacks"] = respond_with(stacks)
    results = doctor(aws)
    assert_result(results["stacks"], "ok", *names)
    assert "Other" not in results["stacks"].message
    assert not {"endpoint", "alarms", "container_log"} & results.keys()
    assert {result.status for code, result in results.items() if code not in ("node", "cdk")} == {"ok"}


def test_an_api_without_its_model_stack_fails(doctor: RunDoctor) -> None:
    aws = healthy_deployment()
    stacks = [stack("CREATE_COMPLETE", name) for name in ("EaselApi", "EaselNotebook")]
    aws.responses["cloudformation.DescribeStacks"] = respond_with(stacks)
    assert_result(doctor(aws)["endpoint"], "failed", "EaselModel", remedy="npx cdk deploy -c model=emoji --all")


def test_a_deploy_that_has_not_come_to_the_model_stack_is_unknown(doctor: RunDoctor) -> None:
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = respond_with([stack("CREATE_IN_PROGRESS", "EaselStorage")])
    assert_result(doctor(aws)["endpoint"], "unknown", "EaselModel", remedy="npx cdk deploy")


def test_a_stack_that_is_being_changed_is_unknown() -> None:
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("UPDATE_IN_PROGRESS")]}
    assert_result(deployment.stacks.run(aws.account()), "unknown", "UPDATE_IN_PROGRESS", remedy=deployment.WAIT)


def test_a_first_deploy_shows_the_progress_of_the_import(doctor: RunDoctor) -> None:
    """The import can take an hour; until then there is no endpoint, which is no failure."""
    aws, now = healthy_deployment(), datetime.now(UTC)
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("CREATE_IN_PROGRESS")]}
    created, *_ = resources()
    changing = {"ResourceType": "Custom::EaselImport", "ResourceStatus": "CREATE_IN_PROGRESS"}
    summaries = [
        {**created, "ResourceType": "AWS::SNS::Topic"},
        {**created, **changing, "LogicalResourceId": "Alarm", "LastUpdatedTimestamp": now},
        {**created, **changing, "LogicalResourceId": "Import", "LastUpdatedTimestamp": now - timedelta(minutes=6)},
    ]
    aws.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": summaries}
    progress = "3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s"
    aws.responses["logs.DescribeLogStreams"] = {"logStreams": [{"logStreamName": "s"}]}
    aws.responses["logs.GetLogEvents"] = {
        "events": [{"timestamp": 1, "message": f"{line}\n"} for line in ("a", progress)]
    }
    results = doctor(aws)
    assert aws.calls("logs.DescribeLogStreams")[0]["logGroupName"] == "/easel/EaselModel/import"
    assert_result(results["stacks"], "unknown", "CREATE_IN_PROGRESS", "Import", "6 min", remedy=deployment.WAIT)
    assert results["stacks"].log_lines == (progress,)
    assert_result(results["endpoint"], "unknown", "CREATE_IN_PROGRESS")


@pytest.mark.parametrize(("id", "group"), [("Import", ""), ("Modelsdxllcm", "/sdxl-lcm"), ("Modelsdxl", "/sdxl")])
def test_the_progress_is_that_of_the_model_that_is_imported(doctor: RunDoctor, id: str, group: str) -> None:
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack("UPDATE_IN_PROGRESS")]}
    importing = {"ResourceType": "Custom::EaselImport", "ResourceStatus": "CREATE_IN_PROGRESS"}
    resource = {**resources()[0], **importing, "LogicalResourceId": f"{id}ReleaseImportBuild0A1B2C3D"}
    aws.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": [resource]}
    groups = [{"logGroupName": f"/easel/EaselModel/import/{model}"} for model in ("sdxl", "sdxl-lcm")]
    aws.responses["logs.DescribeLogGroups"] = {"logGroups": groups}
    doctor(aws)
    assert aws.calls("logs.DescribeLogStreams")[0]["logGroupName"] == f"/easel/EaselModel/import{group}"


# --- alarms --------------------------------------------------------------------------------------


def alarm(name: str, description: str = "") -> dict[str, Any]:
    return {"AlarmName": name, "AlarmArn": f"arn:{name}", "AlarmDescription": description}


def aws_with_alarms(*alarms: dict[str, Any]) -> FakeAws:
    """Return an AWS with these alarms in state ALARM; those named Waiting have the informational tag."""

    def tags(request: dict[str, Any]) -> dict[str, Any]:
        informational = request["ResourceARN"].endswith("Waiting")
        return {"Tags": [{"Key": INFORMATIONAL_TAG, "Value": "true"}] if informational else []}

    responses: dict[str, Any] = {
        "cloudwatch.DescribeAlarms": {"MetricAlarms": list(alarms)},
        "cloudwatch.ListTagsForResource": tags,
    }
    return FakeAws(**responses)


def test_an_active_alarm_fails_with_its_description_as_remedy() -> None:
    aws = aws_with_alarms(
        alarm("EaselModel-ScalingWaiting", "A job waits."),
        alarm("EaselPainter-Errors", "Belongs to another application."),
        alarm("EaselApi-Errors", "Jobs fail: read the functions' log."),
        alarm(f"TargetTracking-endpoint/{NAME}/variant/AllTraffic-AlarmLow-1"),
    )
    result = deployment.alarms.run(aws.account())
    assert_result(result, "failed", "1 in state ALARM", "EaselApi-Errors", remedy="Jobs fail: read the functions' log.")
    assert [request["StateValue"] for request in aws.calls("cloudwatch.DescribeAlarms")] == ["ALARM"]


def test_an_alarm_that_needs_no_action_is_ignored() -> None:
    aws = aws_with_alarms(alarm("EaselModel-ScalingWaiting"))
    assert_result(deployment.alarms.run(aws.account()), "ok")
