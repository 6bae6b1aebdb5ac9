"""The wait of a destroy for the endpoint, against a SageMaker of moto's that stands still where it is put."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from custom_resources import wait_for_endpoint
from tests.stacks.assembly import Assembly

REGION, MINUTES = "us-east-1", 15


class Clock:
    """`time` for the handler: sleeping moves it, and may change the endpoint."""

    def __init__(self) -> None:
        self.now, self.then = 1000.0, dict[int, Callable[[], None]]()
        self.slept = 0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
        self.then.get(self.slept, lambda: None)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(wait_for_endpoint, "time", made)
    return made


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts the endpoint `e` into a state; empty: takes it away."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        sagemaker = boto3.client("sagemaker")
        sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        endpoints = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION].endpoints
        kept = endpoints["e"]

        def state(status: str) -> None:
            endpoints.pop("e", None)
            if status:
                kept.endpoint_status = status
                endpoints["e"] = kept

        yield state


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address that CloudFormation listens at, and what it heard."""
    heard: list[dict[str, Any]] = []

    class Door(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """The test reads `heard`."""

    server = HTTPServer(("127.0.0.1", 0), Door)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    server.server_close()


def asked(kind: str, url: str = "", **more: Any) -> dict[str, Any]:
    ids = dict.fromkeys(("StackId", "RequestId", "LogicalResourceId"), "x")
    told = {"RequestType": kind, "ResponseURL": url, "ResourceProperties": {"Endpoint": "e"}, **ids, **more}
    return told if kind == "Create" else {"PhysicalResourceId": "e", **told}


def context(clock: Clock) -> Any:
    end = clock.now + MINUTES * 60
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: (end - clock.now) * 1000, invoked_function_arn="f", log_stream_name="s"
    )


def test_nothing_is_waited_for_while_the_endpoint_is_needed(clock: Clock, put: Any, told: Any) -> None:
    put("Updating")
    url, heard = told
    for kind in ("Create", "Update"):
        wait_for_endpoint.handler(asked(kind, url), context(clock))
    assert [(one["Status"], one["PhysicalResourceId"]) for one in heard] == [("SUCCESS", "e")] * 2
    assert clock.slept == 0


@pytest.mark.parametrize("status", ["InService", "Failed", "OutOfService", "UpdateRollbackFailed", ""])
def test_what_can_be_deleted_is_not_waited_for(clock: Clock, put: Any, status: str) -> None:
    put(status)
    assert wait_for_endpoint.wait(asked("Delete"), context(clock)) == ("e", {})
    assert clock.slept == 0


@pytest.mark.parametrize("after", ["InService", "Failed", ""])
@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_what_moves_is_waited_for_and_the_log_says_so(
    clock: Clock, put: Any, told: Any, capsys: pytest.CaptureFixture[str], status: str, after: str
) -> None:
    put(status)
    clock.then[3] = lambda: put(after)
    url, heard = told
    wait_for_endpoint.handler(asked("Delete", url), context(clock))
    assert (heard[0]["Status"], clock.slept) == ("SUCCESS", 3)
    said = capsys.readouterr().out
    assert f"e is {status}: SageMaker deletes no endpoint before that has ended. Waiting, 10 s so far" in said
    assert said.splitlines()[-1] == f"e is {after or 'gone'}: its deletion goes on"


def test_a_function_that_ends_hands_the_wait_over(clock: Clock, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put("Updating")
    handed: list[dict[str, Any]] = []
    clients = {"lambda": SimpleNamespace(invoke=lambda **call: handed.append(json.loads(call["Payload"])))}
    usual = boto3.client
    monkeypatch.setattr(boto3, "client", lambda name, **more: clients.get(name) or usual(name, **more))
    assert wait_for_endpoint.wait(asked("Delete"), context(clock)) is None
    assert handed[0]["Since"] == 1000.0
    put("InService")
    assert wait_for_endpoint.wait(handed[0], context(clock)) == ("e", {})


def test_an_endpoint_that_nobody_may_look_at_holds_no_destroy(
    clock: Clock, put: Any, told: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its rights taken away by hand, each destroy would fail here, and none reach the endpoint."""
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not allowed"}}, "DescribeEndpoint")

    def refuse(**_: str) -> None:
        raise denied

    monkeypatch.setattr(boto3, "client", lambda *_, **__: SimpleNamespace(describe_endpoint=refuse))
    url, heard = told
    wait_for_endpoint.handler(asked("Delete", url), context(clock))
    assert (heard[0]["Status"], clock.slept) == ("SUCCESS", 0)
    assert "not allowed" in capsys.readouterr().out


def test_a_wait_without_end_fails_with_the_reason(clock: Clock, put: Any, told: Any) -> None:
    put("SystemUpdating")
    url, heard = told
    wait_for_endpoint.handler(
        asked("Delete", url, Since=clock.now - wait_for_endpoint.ENDPOINT_WAIT_SECONDS - 1), context(clock)
    )
    assert heard[0]["Status"] == "FAILED"
    assert "The endpoint is still SystemUpdating after 50 minutes" in heard[0]["Reason"]
    assert "It is there, and billed" in heard[0]["Reason"]


def test_the_wait_lies_between_the_endpoint_and_all_that_changes_it(each: Assembly) -> None:
    ((waiting, wait),) = each.resources("Custom::EaselWaitForEndpoint", "EaselModel").items()
    (target,) = each.resources("AWS::ApplicationAutoScaling::ScalableTarget", "EaselModel").values()
    (endpoint,) = each.resources("AWS::SageMaker::Endpoint", "EaselModel")
    clocks = each.resources("AWS::Events::Rule", "EaselModel").values()  # of the idle guard, in mode realtime
    assert all(waiting in one["DependsOn"] for one in (target, *clocks))
    assert endpoint in json.dumps(wait)
    assert int(wait["Properties"]["ServiceTimeout"]) > wait_for_endpoint.ENDPOINT_WAIT_SECONDS
