"""What is logged, counted and traced, and what never is."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fakes import PROFILE, ROOT, TABLE, World, event, models_file

from contract import EaselError
from gateway.telemetry import Telemetry

SECRET = "a very private\nprompt \x1b[31m"


class LoggedWorld(World):
    """A world whose log and metrics can be read."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        super().__init__(telemetry=Telemetry(service=f"test-{uuid4().hex}", namespace="Test"))

    def lines(self) -> list[dict[str, Any]]:
        out, err = self._capsys.readouterr()
        assert err == ""
        return [json.loads(line) for line in out.splitlines()]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines() if "message" in line]


def metrics(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    found = []
    for line in lines:
        for group in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert group["Namespace"] == "Test"
            assert "service" in group["Dimensions"][0]
            dimension = next(name for name in group["Dimensions"][0] if name != "service")
            found += [(metric["Name"], line[dimension]) for metric in group["Metrics"]]
    return found


def test_a_request_and_its_job_are_logged_without_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    sent = event("POST", "/generate", {"prompt": SECRET, "negative_prompt": SECRET}, key="the-key-id")
    assert world.send(sent)["statusCode"] == 200
    lines = world.lines()
    logged = [line for line in lines if "message" in line]
    assert [line["message"] for line in logged] == ["accepted", "job", "request"]
    accepted, job, request = logged
    assert {"path": "/generate", "status": 200, "request_id": "request-1"}.items() <= request.items()
    assert job["seconds"] == 0.1
    assert job["owner"] == request["owner"]
    assert {line["request_id"] for line in logged} == {"request-1"}
    assert accepted["inference_id"] == job["inference_id"] == world.endpoint.submitted[0].inference_id
    assert accepted["model"] == job["model"] == PROFILE.id
    assert metrics(lines) == [("JobSeconds", "succeeded"), ("JobSeconds", PROFILE.id), ("Requests", "200")]
    for word in ("private", "the-key-id"):
        assert word not in json.dumps(lines)


def test_a_poll_that_finds_the_output_first_logs_the_end_of_the_job_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    _, accepted = world.call("POST", "/jobs", {"prompt": "a"})
    assert world.messages() == ["accepted", "request"]
    world.endpoint.generate_all()
    for messages in (["job", "request"], ["request"]):
        assert world.call("GET", f"/jobs/{accepted['id']}")[1]["status"] == "succeeded"
        assert world.messages() == messages


def test_an_invalid_request_is_logged_in_one_line_with_its_code(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = LoggedWorld(capsys)
    world.send(event("POST", "/generate", {"prompt": "a", SECRET: 1}))
    lines = world.lines()
    logged = [line for line in lines if "message" in line]
    assert [(line["message"], line["code"]) for line in logged] == [("request", "unknown_field")]
    assert metrics(lines) == [("Requests", "400"), ("Errors", "unknown_field")]
    assert len(caplog.records) == 1, "no other logger logs it"
    assert "private" not in json.dumps(lines)


def test_a_failed_job_is_counted_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    def fail() -> None:
        world.reporter.fail(world.endpoint.submitted[0], EaselError("nan_output", "m"))

    world.clock.while_sleeping = fail
    world.send(event("POST", "/generate", {"prompt": "a"}))
    found = metrics(world.lines())
    assert ("JobErrors", "nan_output") in found
    assert ("JobSeconds", "failed") in found


def test_an_unexpected_exception_is_logged_by_type_and_traceback_only(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    def crash(key: str) -> None:
        raise ValueError(SECRET)

    world.store.before_write = crash
    response = world.send(event("POST", "/generate", {"prompt": SECRET}))
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (500, "internal")
    lines = world.lines()
    crashed = next(line for line in lines if line.get("message") == "crashed")
    assert crashed["error"] == "ValueError"
    assert any(frame.startswith("lifecycle.py:") for frame in crashed["where"])
    assert "private" not in json.dumps(lines) + response["body"]


def test_the_text_of_aws_is_logged_and_not_sent_to_callers(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    error = EaselError("config_error", "access denied")
    error.__cause__ = PermissionError("arn:aws:iam::123456789012:role/x may not")
    world.endpoint.error = error
    response = world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "123456789012" not in response["body"]
    assert any("123456789012" in line.get("cause", "") for line in world.lines())


def test_the_text_of_the_model_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    class ModelError(Exception):
        pass

    error = EaselError("model_error", "the model failed")
    error.__cause__ = ModelError(SECRET)
    world.endpoint.error = error
    world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "private" not in json.dumps(world.lines())


def test_an_ignored_event_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    world.telemetry.ignored("no such job", "id")
    assert [(line["message"], line["reason"]) for line in world.lines()] == [("ignored", "no such job")]


# --- traces, in processes of their own: the real X-Ray SDK, which patches botocore ----------------

TRACE, PARENT = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
PROMPT = "a red apple in the rain"
CALLS = f"""
import json
from fakes import create_table, event
from faults import Fault, serve
from moto import mock_aws
import boto3, os

with mock_aws(), serve() as server:
    for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER"):
        os.environ[f"AWS_ENDPOINT_URL_{{service}}"] = server.url
    server.fault = Fault(202, body={{"EndpointStatus": "InService"}})
    boto3.client("s3").create_bucket(Bucket="easel-bucket")
    create_table()
    import handlers

    created = handlers.api(event("POST", "/jobs", {{"prompt": {PROMPT!r}}}), None)
    job = json.loads(created["body"])["id"]
    (page,) = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="easel-bucket", Prefix="jobs/")
    owner = page["Contents"][0]["Key"].split("/")[1]
    server.fault = Fault(424, "ModelError", {{"OriginalStatusCode": 400, "Message": {PROMPT!r}}})
    handlers.runner({{"owner": owner, "id": job}}, None)
    listed = handlers.api(event("GET", "/jobs"), None)
    print(json.dumps([job, created["statusCode"], listed["statusCode"], listed["body"]]))
"""
"""Creates a job, runs it against a container whose error quotes the prompt, and lists it."""
VARIABLES = {
    "EASEL_AUTH": "key",
    "EASEL_MODELS": models_file(("", "endpoint")),
    "EASEL_BUCKET": "easel-bucket",
    "EASEL_ACCOUNTS": TABLE,
    "EASEL_MODE": "async",
    "EASEL_WAIT_SECONDS": "0",
    "EASEL_DEADLINE_SECONDS": "55",
    "EASEL_JOB_TTL_SECONDS": "3600",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "_X_AMZN_TRACE_ID": f"Root={TRACE};Parent={PARENT};Sampled=1",
}


class Daemon:
    """Receives what the SDK sends to the X-Ray daemon."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def documents(self) -> list[dict[str, Any]]:
        """Return what was received, of a process that has ended."""
        found: list[dict[str, Any]] = []
        while True:
            try:
                header, _, document = self.socket.recv(1 << 16).partition(b"\n")
            except BlockingIOError:
                return found
            assert json.loads(header) == {"format": "json", "version": 1}
            found.append(json.loads(document))


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    receiver = Daemon()
    yield receiver
    receiver.socket.close()


def run(code: str, **more: str) -> Any:
    """Run Python code with the functions' import root, and return the JSON that it prints last."""
    path = os.pathsep.join(map(str, (ROOT / "lambda", Path(__file__).parent)))
    env = os.environ | VARIABLES | {"PYTHONPATH": path} | more
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def traced(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    """The id of a job that failed, and the documents of its invocations."""
    root = str(tmp_path_factory.mktemp("task"))
    lambda_ = {"EASEL_TRACING": "on", "AWS_XRAY_DAEMON_ADDRESS": daemon.address, "LAMBDA_TASK_ROOT": root}
    job, created, listed, jobs = run(CALLS, **lambda_)
    assert (created, listed) == (202, 200)
    assert json.loads(jobs)["jobs"][0]["status"] == "failed"
    return job, daemon.documents()


def test_a_handler_and_its_calls_of_aws_are_in_lambdas_trace(traced: tuple[str, list[dict[str, Any]]]) -> None:
    _, documents = traced
    assert {document["trace_id"] for document in documents} == {TRACE}
    handlers = {document["id"]: document["name"] for document in documents if document["parent_id"] == PARENT}
    assert {"## api", "## runner"} <= set(handlers.values())
    called = {
        (handlers.get(document["parent_id"]), document["aws"]["operation"])
        for document in documents
        if document.get("namespace") == "aws"
    }
    assert called >= {("## api", "InvokeEndpointAsync"), ("## api", "PutObject"), ("## runner", "InvokeEndpoint")}


def test_the_job_is_an_annotation(traced: tuple[str, list[dict[str, Any]]]) -> None:
    job, documents = traced
    annotated = [document["annotations"] for document in documents if document.get("annotations")]
    assert annotated == [{"job": job}] * 3  # accepted, run, ended


def test_no_trace_quotes_a_prompt(traced: tuple[str, list[dict[str, Any]]]) -> None:
    _, documents = traced
    failed = [document["cause"]["exceptions"][0] for document in documents if document.get("cause")]
    assert "ModelError" in {exception["type"] for exception in failed}
    assert PROMPT not in json.dumps(documents)


def test_a_missing_object_is_no_fault(traced: tuple[str, list[dict[str, Any]]]) -> None:
    _, documents = traced
    missing = [document for document in documents if document.get("http", {}).get("response", {}).get("status") == 404]
    assert missing
    assert not any(document.get("fault") for document in missing)


def test_without_tracing_nothing_of_it_is_imported() -> None:
    """Powertools imports its own part of the Tracer in any case."""
    code = "import handlers, json, sys; print(json.dumps([*sys.modules]))"
    assert not {"aws_xray_sdk", "wrapt", "aws.tracing"} & set(run(code))
