"""The wait of a destroy for the endpoint, against moto's SageMaker, whose endpoint keeps the state that it is given."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from custom_resources import wait_for_endpoint
from custom_resources.names import ENDPOINT_WAIT_SECONDS
from tests.custom_resources.cloudformation import Clock, CloudFormation

MINUTES = 15
PROPERTIES = {"Endpoint": "e", "Name": "easel"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wait_for_endpoint, "time", clock)
    return clock


def delete_event(cloudformation: CloudFormation, **more: Any) -> dict[str, Any]:
    return cloudformation.event("Delete", PROPERTIES, PhysicalResourceId="e", **more)


def context(clock: Clock) -> Any:
    end = clock.now + MINUTES * 60
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: (end - clock.now) * 1000, invoked_function_arn="f", log_stream_name="s"
    )


def test_create_and_update_do_not_wait(clock: Clock, set_status: Any, cloudformation: CloudFormation) -> None:
    set_status("Updating")
    for kind in ("Create", "Update"):
        wait_for_endpoint.handler(cloudformation.event(kind, PROPERTIES), context(clock))
    assert cloudformation.statuses() == ["SUCCESS", "SUCCESS"]
    assert {response["PhysicalResourceId"] for response in cloudformation.responses} == {"e"}
    assert clock.slept == 0


@pytest.mark.parametrize("status", ["InService", "Failed", "OutOfService", "UpdateRollbackFailed", ""])
def test_an_endpoint_that_can_be_deleted_is_not_waited_for(
    clock: Clock, set_status: Any, cloudformation: CloudFormation, status: str
) -> None:
    set_status(status)
    assert wait_for_endpoint.wait(delete_event(cloudformation), context(clock)) == ("e", {})
    assert clock.slept == 0


@pytest.mark.parametrize("after", ["InService", "Failed", ""])
@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_an_endpoint_in_a_moving_state_is_waited_for(
    clock: Clock,
    set_status: Any,
    cloudformation: CloudFormation,
    capsys: pytest.CaptureFixture[str],
    status: str,
    after: str,
) -> None:
    set_status(status)
    clock.then[3] = lambda: set_status(after)
    wait_for_endpoint.handler(delete_event(cloudformation), context(clock))
    assert (cloudformation.statuses(), clock.slept) == (["SUCCESS"], 3)
    *waiting, last = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"e is {status}") for line in waiting)
    assert ["10 s" in line for line in waiting] == [False, False, True]
    assert last.startswith(f"e is {after or 'gone'}")


@pytest.mark.slow
def test_the_next_invocation_continues_the_wait(
    clock: Clock, set_status: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_status("Updating")
    payloads: list[dict[str, Any]] = []
    clients = {"lambda": SimpleNamespace(invoke=lambda **call: payloads.append(json.loads(call["Payload"])))}
    client = boto3.client
    monkeypatch.setattr(boto3, "client", lambda name, **more: clients.get(name) or client(name, **more))
    assert wait_for_endpoint.wait(delete_event(cloudformation), context(clock)) is None
    assert payloads[0]["Since"] == 1000.0
    set_status("InService")
    assert wait_for_endpoint.wait(payloads[0], context(clock)) == ("e", {})


def test_an_endpoint_that_cannot_be_read_is_not_waited_for(
    clock: Clock, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If somebody removed the right by hand, every destroy would fail here and never reach the endpoint."""
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not allowed"}}, "DescribeEndpoint")

    def refuse(**_: str) -> None:
        raise denied

    monkeypatch.setattr(boto3, "client", lambda *_, **__: SimpleNamespace(describe_endpoint=refuse))
    wait_for_endpoint.handler(delete_event(cloudformation), context(clock))
    assert (cloudformation.statuses(), clock.slept) == (["SUCCESS"], 0)
    assert "AccessDeniedException" in capsys.readouterr().out


def test_a_wait_that_is_too_long_fails_with_the_state(
    clock: Clock, set_status: Any, cloudformation: CloudFormation
) -> None:
    set_status("SystemUpdating")
    event = delete_event(cloudformation, Since=clock.now - ENDPOINT_WAIT_SECONDS - 1)
    wait_for_endpoint.handler(event, context(clock))
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    for value in ("StillMovingError: ", "SystemUpdating", "50 minutes", "npx cdk destroy --all"):
        assert value in response["Reason"]
