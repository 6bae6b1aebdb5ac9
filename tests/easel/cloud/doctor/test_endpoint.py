"""Checks of the endpoint and its container's log."""

from __future__ import annotations

from typing import Any

import pytest

from easel.cloud.doctor import endpoint
from easel.cloud.doctor.plan import Plan
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import RECREATE_ENDPOINT, DeployedEndpoint
from tests.easel.cloud.doctor.conftest import RunDoctor
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import FakeAws, client_error
from tests.easel.cloud.fake_deployment import (
    CONFIG,
    NAME,
    endpoint_response,
    healthy_deployment,
    log_events,
    resources,
    stack,
)

REALTIME = DeployedEndpoint(stack_status="UPDATE_COMPLETE", endpoint=NAME, config=CONFIG)
ASYNC = DeployedEndpoint(stack_status="UPDATE_COMPLETE", endpoint="easel-async0a1b2c-0123", config=CONFIG)
MISSING = client_error("ValidationException", "Could not find endpoint")
DEPLOY = "npx cdk deploy --all"
"""Needed after a correction only: a deploy without changes does nothing, because the CDK skips the stack."""


def check_endpoint(response: Any, deployed: DeployedEndpoint) -> Any:
    return endpoint.endpoint.run(FakeAws(**{"sagemaker.DescribeEndpoint": response}).account(), deployed)


@pytest.mark.parametrize(
    ("response", "message", "remedies"),
    [
        (MISSING, [NAME], ["easel resume"]),
        (endpoint_response("Old", "InService"), ["Old", CONFIG],
         [endpoint.READ_LOG, DEPLOY, "easel pause, then easel resume"]),
        (endpoint_response(CONFIG, "Failed", FailureReason="did not pass the ping health check"),
         ["Failed: did not pass the ping health check"], [advice_for("ping health check"), "easel resume"]),
        (endpoint_response(CONFIG, "Failed"), ["Failed"], [endpoint.READ_LOG, "easel resume"]),
    ],
    ids=["missing", "rolled-back", "failed-known", "failed"],
)  # fmt: skip
def test_a_realtime_endpoint_that_failed(response: Any, message: list[str], remedies: list[str]) -> None:
    result = check_endpoint(response, REALTIME)
    assert_result(result, "failed", *message, remedy=remedies[0])
    positions = [result.remedy.find(part) for part in remedies]
    assert -1 not in positions
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    "response",
    [MISSING, endpoint_response(CONFIG, "Failed"), endpoint_response("Old", "InService")],
    ids=["missing", "failed", "rolled-back"],
)
def test_an_async_endpoint_is_created_again_by_cloudformation(response: Any) -> None:
    """`easel resume` refuses an async endpoint."""
    result = check_endpoint(response, ASYNC)
    assert_result(result, "failed", remedy=RECREATE_ENDPOINT)
    assert "easel resume" not in result.remedy


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack"])
def test_an_endpoint_that_is_being_changed_is_unknown(status: str) -> None:
    assert_result(check_endpoint(endpoint_response(CONFIG, status), REALTIME), "unknown", NAME, status)


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        ("UPDATE_COMPLETE", "endpoint=off", DEPLOY),
        ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", DEPLOY),
        ("DELETE_FAILED", "DELETE_FAILED", f"npx cdk destroy EaselModel, then {DEPLOY}"),
    ],
)
def test_a_stack_without_an_endpoint(doctor: RunDoctor, plan: Plan, status: str, message: str, remedy: str) -> None:
    aws = healthy_deployment()
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [stack(status)]}
    aws.responses["cloudformation.DescribeStackEvents"] = {"StackEvents": []}
    summaries = [resource for resource in resources() if "Config" in resource["ResourceType"]]
    aws.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": summaries}
    result = doctor(aws)["endpoint"]
    assert_result(result, "failed", message)
    assert result.remedy == plan.in_commands(remedy)


@pytest.mark.parametrize("call", ["cloudformation.ListStackResources", "sagemaker.ListEndpointConfigs"])
@pytest.mark.parametrize("code", ["ThrottlingException", "OptInRequired"])
def test_an_error_outside_the_deploy_makes_the_endpoint_unknown(doctor: RunDoctor, call: str, code: str) -> None:
    aws = healthy_deployment()
    aws.responses[call] = client_error(code, "Rate exceeded")
    assert_result(doctor(aws)["endpoint"], "unknown", "Rate exceeded")


# --- log -----------------------------------------------------------------------------------------


def check_log(**responses: Any) -> tuple[FakeAws, Any]:
    aws = healthy_deployment()
    aws.responses |= {f"logs.{name}": response for name, response in responses.items()}
    return aws, endpoint.container_log.run(aws.account(), REALTIME)


def test_a_known_failure_is_reported_with_the_last_lines() -> None:
    line = "torch.cuda.OutOfMemoryError: CUDA out of memory."
    aws, result = check_log(GetLogEvents=log_events(*"abcdef", line, "bye"))
    assert_result(result, "failed", "2026-11-24 06:00 UTC", line, remedy=advice_for("CUDA out of memory"))
    assert result.log_lines == ("d", "e", "f", line, "bye")
    assert aws.calls("logs.DescribeLogStreams")[0]["logGroupName"] == f"/aws/sagemaker/Endpoints/{NAME}"


def test_the_data_log_of_an_async_endpoint_is_ignored() -> None:
    """It is in the same log group, and newest after every request."""
    lines = {
        "AllTraffic/i-1/data-log": "Inference request succeeded.",
        "AllTraffic/i-0/data-log": "Inference request failed.",
        "AllTraffic/i-0": "torch.OutOfMemoryError: CUDA out of memory.",
        "AllTraffic/i-9": "Model server started.",
    }

    def streams(request: dict[str, Any]) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": name} for name in lines][: request["limit"]]}

    def events(request: dict[str, Any]) -> dict[str, Any]:
        return log_events(lines[request["logStreamName"]])

    _, result = check_log(DescribeLogStreams=streams, GetLogEvents=events)
    assert (result.status, result.log_lines) == ("failed", (lines["AllTraffic/i-0"],))
    for name in ("AllTraffic/i-0", "AllTraffic/i-9"):
        del lines[name]
    _, result = check_log(DescribeLogStreams=streams, GetLogEvents=events)
    assert_result(result, "unknown")


def test_a_container_without_a_log_is_unknown() -> None:
    missing = client_error("ResourceNotFoundException", "The specified log group does not exist.")
    _, result = check_log(DescribeLogStreams=missing)
    assert_result(result, "unknown")


def test_a_stop_by_the_budget_is_reported_with_its_remedy() -> None:
    aws = healthy_deployment()
    aws.stop_by_budget()
    result = endpoint.budget_stop.run(aws.account())
    assert_result(result, "failed", "2026-11-24T08:00:00+00:00", "takes no jobs", remedy="easel resume")


def test_a_budget_that_is_not_used_up_is_listed_only_if_it_can_stop_the_endpoint() -> None:
    aws = healthy_deployment()
    aws.stop_by_budget()
    aws.responses["s3.GetObject"] = client_error("NoSuchKey", "The specified key does not exist.")
    assert endpoint.budget_stop.run(aws.account()) is None
    outputs = [{"OutputKey": "BudgetStopDoes", "OutputValue": "at 100 % it is"}]
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [{**stack("CREATE_COMPLETE"), "Outputs": outputs}]}
    assert_result(endpoint.budget_stop.run(aws.account()), "ok", "at 100 % it is")
