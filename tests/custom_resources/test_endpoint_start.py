"""The watch of an endpoint's first start, against moto's SageMaker, logs and bucket."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from custom_resources import endpoint_start
from custom_resources.names import ENDPOINT_WAIT_SECONDS, failed_start_key
from tests.custom_resources.cloudformation import Clock, CloudFormation, Context

GROUP = "/aws/sagemaker/Endpoints/e"
PROPERTIES = {"Endpoint": "e", "LogGroup": GROUP, "Bucket": "store"}
REASON = "The primary container did not pass the ping health check."
TRACEBACK = ("Traceback (most recent call last):", '  File "inference.py"', "ImportError: no module x")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, s3: Any) -> Clock:
    clock = Clock()
    monkeypatch.setattr(endpoint_start, "time", clock)
    boto3.client("logs").create_log_group(logGroupName=GROUP)
    return clock


def write_log(*messages: str, stream: str = "AllTraffic/i-1", later_s: int = 0) -> None:
    at = 1000 * (int(time.time()) - 60 + later_s)
    logs = boto3.client("logs")
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": at + i, "message": message} for i, message in enumerate(messages)]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


@pytest.fixture
def fail(set_status: Callable[[str], None]) -> Callable[[], None]:
    def fail() -> None:
        set_status("Failed")
        sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].endpoints["e"].failure_reason = REASON

    return fail


def kept(s3: Any) -> list[str]:
    """Return the lines of the object; empty if there is none."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="store").get("Contents", [])]
    assert keys in ([], [failed_start_key("e")])
    body = s3.get_object(Bucket="store", Key=keys[0])["Body"].read().decode() if keys else ""
    return list(body.splitlines())


def test_a_start_that_succeeds_is_waited_for(
    clock: Clock, set_status: Any, cloudformation: CloudFormation, s3: Any
) -> None:
    set_status("")
    clock.then = {2: lambda: set_status("Creating"), 5: lambda: set_status("InService")}
    write_log("ready")
    endpoint_start.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert (response["Status"], response["PhysicalResourceId"], clock.slept) == ("SUCCESS", "e", 5)
    assert kept(s3) == []


def test_a_failed_start_has_the_end_of_the_log_in_its_reason_and_in_the_bucket(
    clock: Clock, set_status: Any, fail: Any, cloudformation: CloudFormation, s3: Any
) -> None:
    set_status("Creating")
    clock.then[1] = fail
    write_log(*TRACEBACK, "bye")
    endpoint_start.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", "none")
    assert REASON in response["Reason"]
    assert "ImportError: no module x" in response["Reason"]
    assert "bye" not in response["Reason"]
    first, *lines = kept(s3)
    assert first == f"e: {REASON}"
    assert [line.partition(" ")[2] for line in lines] == [*TRACEBACK, "bye"]
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ ", lines[0])


def test_the_kept_log_is_bounded_readable_and_without_secrets(
    fail: Any, cloudformation: CloudFormation, s3: Any
) -> None:
    fail()
    secrets = ("hf_" + "a" * 30, "AKIA" + "B" * 16, "c" * 64)
    write_log(
        *["x" * 9000] * 150,
        f"error {secrets[0]} {secrets[1]} https://s3/?X-Amz-Signature={secrets[2]}&x=1",
        "error \x1b[31mred\nline",
    )
    endpoint_start.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert len(response["Reason"].encode()) < 1024
    text = "\n".join(kept(s3))
    assert len(text) < 60_000
    assert "x" * 400 in text
    for value in (text, response["Reason"]):
        assert not [secret for secret in secrets if secret in value]
        assert "\x1b" not in value
        assert "\\x1b[31mred line" in value


def test_the_newest_container_counts_and_no_data_log(fail: Any, cloudformation: CloudFormation, s3: Any) -> None:
    fail()
    write_log("older", stream="AllTraffic/i-1")
    write_log("newer", stream="AllTraffic/i-2", later_s=10)
    write_log("data", stream="AllTraffic/i-2/data-log", later_s=20)
    endpoint_start.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert [line.rpartition(" ")[2] for line in kept(s3)[1:]] == ["newer"]


def test_a_container_without_a_log_is_reported(fail: Any, cloudformation: CloudFormation, s3: Any) -> None:
    fail()
    endpoint_start.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert "wrote no log" in response["Reason"]
    assert kept(s3) == []


@pytest.mark.parametrize(("id", "expected"), [("EaselModel-EndpointStart-1X", True), ("e", False), ("none", False)])
def test_a_rollback_keeps_the_log_if_the_watch_has_not_ended(
    cloudformation: CloudFormation, s3: Any, id: str, expected: bool
) -> None:
    """CloudFormation may notice the failure first; it then cancels the watch, and deletes it before the log group."""
    write_log("crash")
    endpoint_start.handler(cloudformation.event("Delete", PROPERTIES, PhysicalResourceId=id), Context())
    assert cloudformation.statuses() == ["SUCCESS"]
    assert bool(kept(s3)) is expected


def test_a_deletion_succeeds_without_log_and_bucket(cloudformation: CloudFormation) -> None:
    event = cloudformation.event("Delete", {**PROPERTIES, "LogGroup": "gone", "Bucket": "gone"}, PhysicalResourceId="x")
    endpoint_start.handler(event, Context())
    assert cloudformation.statuses() == ["SUCCESS"]


def test_an_update_watches_another_endpoint_only(
    clock: Clock, set_status: Any, fail: Any, cloudformation: CloudFormation
) -> None:
    """A failed update of an endpoint keeps its log group."""
    fail()
    endpoint_start.handler(cloudformation.event("Update", PROPERTIES, PhysicalResourceId="e"), Context())
    endpoint_start.handler(cloudformation.event("Update", PROPERTIES, PhysicalResourceId="other"), Context())
    assert cloudformation.statuses() == ["SUCCESS", "FAILED"]
    assert cloudformation.responses[1]["PhysicalResourceId"] == "other"


@pytest.mark.parametrize("status", ["", "Creating"])
def test_the_watch_ends_by_itself_and_fails_no_deploy(
    clock: Clock, set_status: Any, cloudformation: CloudFormation, status: str
) -> None:
    """For example if SageMaker refuses to create the endpoint; CloudFormation then reports that itself."""
    set_status(status)
    limit = ENDPOINT_WAIT_SECONDS if status else endpoint_start.APPEAR_SECONDS
    event = cloudformation.event("Create", PROPERTIES, Since=clock.now - limit + 10, Appeared=bool(status))
    assert endpoint_start.watch(event, Context()) == ("e", {})
    assert clock.slept == 2


def test_an_endpoint_that_was_deleted_meanwhile_ends_the_watch(
    clock: Clock, set_status: Any, cloudformation: CloudFormation
) -> None:
    set_status("Creating")
    clock.then[2] = lambda: set_status("")
    assert endpoint_start.watch(cloudformation.event("Create", PROPERTIES), Context()) == ("e", {})
    assert clock.slept == 2


def test_the_next_invocation_continues_the_watch(
    clock: Clock, set_status: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_status("Creating")
    payloads: list[dict[str, Any]] = []
    clients = {"lambda": SimpleNamespace(invoke=lambda **call: payloads.append(json.loads(call["Payload"])))}
    client = boto3.client
    monkeypatch.setattr(boto3, "client", lambda name, **more: clients.get(name) or client(name, **more))
    assert endpoint_start.watch(cloudformation.event("Create", PROPERTIES), Context(left_ms=1000)) is None
    set_status("")  # it is there no more, so the next invocation does not wait for it to appear
    assert endpoint_start.watch(payloads[0], Context()) == ("e", {})
    assert clock.slept == 0
