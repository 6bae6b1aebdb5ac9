"""The custom resource that runs an import in CodeBuild, with a fake CodeBuild."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from custom_resources import model_import
from custom_resources.response import RESERVE_MS
from tests.conftest import skip_waits
from tests.custom_resources.cloudformation import CloudFormation, Context

SOURCE = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": "fp16"}
REQUEST = {"code": "c0de", "source": SOURCE, "hub_url": "https://hub"}
PROPERTIES = {"Bucket": "store", "Project": "project", "Request": json.dumps(REQUEST)}
PREFIX = "releases/0123456789abcdef/"


class LimitError(Exception):
    pass


class CodeBuild:
    """Returns the given states of the build `project:1` in turn. `changes` are the calls that change something.

    `earlier` is the state of an earlier build, `project:0`.
    """

    class exceptions:  # noqa: N801
        AccountLimitExceededException = LimitError

    def __init__(self, *builds: dict[str, Any]) -> None:
        self.builds, self.earlier = list(builds), dict[str, Any]()
        self.changes: list[dict[str, Any]] = []

    def start_build(self, **parameters: Any) -> dict[str, Any]:
        self.changes.append(parameters)
        return {"build": {"id": "project:1"}}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        if ids == ["project:0"]:
            return {"builds": [{"id": "project:0", **self.earlier}]}
        assert ids == ["project:1"]
        return {"builds": [{"id": "project:1", "timeoutInMinutes": 50, **self.builds.pop(0)}]}

    def list_builds_for_project(self, projectName: str) -> dict[str, Any]:  # noqa: N803
        return {"ids": [f"{projectName}:0"] if self.earlier else []}

    def stop_build(self, id: str) -> None:
        self.changes.append({"stopped": id})


class Lambda:
    def __init__(self) -> None:
        self.invocations: list[dict[str, Any]] = []

    def invoke(self, **parameters: Any) -> None:
        self.invocations.append(parameters)


class Countdown(Context):
    """A context whose remaining times are given, one for each call; afterwards there is enough time."""

    def __init__(self, *left_ms: int) -> None:
        super().__init__()
        self.times = list(left_ms)

    def get_remaining_time_in_millis(self) -> int:
        return self.times.pop(0) if self.times else self.left_ms


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_waits(monkeypatch, "custom_resources")


def run(monkeypatch: pytest.MonkeyPatch, build: CodeBuild, event: Mapping[str, Any], *left_ms: int) -> Lambda:
    """Run the handler with fakes of CodeBuild and Lambda. Return that of Lambda."""
    function, client = Lambda(), boto3.client
    fakes = {"codebuild": build, "lambda": function}
    with monkeypatch.context() as patch:
        patch.setattr(boto3, "client", lambda name, **more: fakes.get(name) or client(name, **more))
        model_import.handler(event, Countdown(*left_ms))
    return function


def put_state(s3: Any, **state: Any) -> None:
    body = {"message": "3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s", **state}
    s3.put_object(Bucket="store", Key="imports/request.json", Body=json.dumps(body))


def test_an_import_is_started_and_followed(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_state(s3, prefix=PREFIX, commits={"org/model": "c" * 40}, licence="mit")
    build = CodeBuild({"buildStatus": "IN_PROGRESS"}, {"buildStatus": "SUCCEEDED"})
    run(monkeypatch, build, cloudformation.event("Create", PROPERTIES))
    (started,) = build.changes
    (variable,) = started["environmentVariablesOverride"]
    assert (started["projectName"], started["idempotencyToken"]) == ("project", "request")
    assert json.loads(variable["value"]) == {**REQUEST, "bucket": "store", "state": "imports/request.json"}
    (response,) = cloudformation.responses
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", PREFIX)
    assert response["Data"]["Prefix"] == PREFIX
    assert response["Data"]["Commits"] == "org/model@" + "c" * 40
    assert "1.20 of 4.57 GB, 96.3 MB/s" in capsys.readouterr().out


def test_a_response_is_shorter_than_cloudformations_limit(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a hub calls its licence, and in whatever script an error is written."""
    put_state(s3, prefix=PREFIX, commits={"org/" + "m" * 5000: "c" * 40}, licence="\ud83d熊" * 5000)
    run(monkeypatch, CodeBuild({"buildStatus": "SUCCEEDED"}), cloudformation.event("Create", PROPERTIES))
    put_state(s3, error="熊" * 5000)
    run(monkeypatch, CodeBuild({"buildStatus": "FAILED"}), cloudformation.event("Create", PROPERTIES))
    assert cloudformation.statuses() == ["SUCCESS", "FAILED"]
    assert all(len(json.dumps(response, ensure_ascii=False).encode()) < 4096 for response in cloudformation.responses)


def test_the_next_invocation_continues_a_long_import(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = CodeBuild({"buildStatus": "IN_PROGRESS"}, {"buildStatus": "IN_PROGRESS"})
    event = cloudformation.event("Create", PROPERTIES)
    function = run(monkeypatch, build, event, RESERVE_MS, RESERVE_MS - 1)
    (invocation,) = function.invocations
    assert (invocation["FunctionName"], invocation["InvocationType"]) == ("function", "Event")
    assert cloudformation.responses == []
    run(monkeypatch, CodeBuild({"buildStatus": "FAILED"}), json.loads(invocation["Payload"]))
    assert cloudformation.statuses() == ["FAILED"]


@pytest.mark.parametrize(
    ("build", "state", "value"),
    [
        ({"buildStatus": "FAILED"}, {"error": "org/model is gated"}, "org/model is gated"),
        ({"buildStatus": "TIMED_OUT"}, {}, "50 minutes"),
        ({"buildStatus": "FAULT", "phases": [{"phaseType": "BUILD", "contexts": [{"message": "no image"}]}]}, {},
         "FAULT. no image"),
        ({"buildStatus": "TIMED_OUT", "queuedTimeoutInMinutes": 5,
          "phases": [{"phaseType": "QUEUED", "phaseStatus": "TIMED_OUT"}]}, {},
         "5 minutes"),
        ({"buildStatus": "SUCCEEDED"}, {}, "SUCCEEDED"),
    ],
)  # fmt: skip
def test_a_failed_import_has_a_reason(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch, build: Any, state: Any, value: str
) -> None:
    put_state(s3, **state)
    run(monkeypatch, CodeBuild(build), cloudformation.event("Create", PROPERTIES))
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("ImportFailedError: ")
    assert value in response["Reason"]


def running_build(request_id: str) -> dict[str, Any]:
    """Return the running build of an event."""
    request = {**REQUEST, "bucket": "store", "state": f"imports/{request_id}.json"}
    variable = {"name": "EASEL_IMPORT", "value": json.dumps(request), "type": "PLAINTEXT"}
    return {"buildStatus": "IN_PROGRESS", "environment": {"environmentVariables": [variable]}}


def test_a_rollback_stops_the_build_of_the_failed_update(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new account may run one build: otherwise the rollback's import would wait in the queue and fail."""
    put_state(s3, prefix=PREFIX, commits={}, licence="mit")
    build = CodeBuild({"buildStatus": "SUCCEEDED"})
    build.earlier = running_build("update")
    run(monkeypatch, build, cloudformation.event("Update", PROPERTIES, PhysicalResourceId=PREFIX))
    stopped, started = build.changes
    assert stopped == {"stopped": "project:0"}
    assert started["idempotencyToken"] == "request"
    assert cloudformation.statuses() == ["SUCCESS"]


def test_a_repeated_event_continues_with_its_own_build(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda may repeat an event after CodeBuild has forgotten its token. Two builds would write the same release."""
    build = CodeBuild()
    build.earlier = running_build("request")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: build)
    event = cloudformation.event("Create", PROPERTIES)
    assert (model_import.start(event), build.changes) == ("project:0", [])


def test_an_account_without_builds_gets_the_name_of_the_quota(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(CodeBuild):
        def start_build(self, **parameters: Any) -> dict[str, Any]:
            raise LimitError("Cannot have more than 0 builds in queue for the account")

    run(monkeypatch, Full(), cloudformation.event("Create", PROPERTIES))
    (response,) = cloudformation.responses
    assert "more than 0 builds in queue" in response["Reason"]
    assert "'Concurrently running builds for Linux/Small environment'" in response["Reason"]


def test_a_deletion_stops_the_running_build_and_never_fails(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = CodeBuild()
    build.earlier = {"buildStatus": "IN_PROGRESS"}
    event = cloudformation.event("Delete", PROPERTIES, PhysicalResourceId="x")
    run(monkeypatch, build, event)
    assert build.changes == [{"stopped": "project:0"}]
    monkeypatch.setattr(build, "stop_build", lambda **_: 1 / 0)
    run(monkeypatch, build, event)
    assert cloudformation.statuses() == ["SUCCESS", "SUCCESS"]
