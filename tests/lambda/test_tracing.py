"""Traces: what the real X-Ray SDK sends to a daemon on loopback, from processes of their own: it patches botocore."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import ROOT

TRACE, PARENT = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
SECRET = "a red apple in the rain"
CALLS = f"""
import json
from fakes import event
from faults import Fault, serve
from moto import mock_aws
import boto3, os

with mock_aws(), serve() as server:
    for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER"):
        os.environ[f"AWS_ENDPOINT_URL_{{service}}"] = server.url
    server.fault = Fault(202, body={{"EndpointStatus": "InService"}})
    boto3.client("s3").create_bucket(Bucket="easel-bucket")
    import handlers

    created = handlers.api(event("POST", "/jobs", {{"prompt": {SECRET!r}}}), None)
    job = json.loads(created["body"])["id"]
    (page,) = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="easel-bucket", Prefix="jobs/")
    owner = page["Contents"][0]["Key"].split("/")[1]
    server.fault = Fault(424, "ModelError", {{"OriginalStatusCode": 400, "Message": {SECRET!r}}})
    handlers.runner({{"owner": owner, "id": job}}, None)
    listed = handlers.api(event("GET", "/jobs"), None)
    print(json.dumps([job, created["statusCode"], listed["statusCode"], listed["body"]]))
"""
"""Creates a job, runs it against a container whose error quotes the prompt, and lists it."""
VARIABLES = {
    "EASEL_AUTH": "key",
    "EASEL_MODEL_PROFILE": (ROOT / "examples/profile.json").read_text(),
    "EASEL_BUCKET": "easel-bucket",
    "EASEL_ENDPOINT": "endpoint",
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
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
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
    assert SECRET not in json.dumps(documents)


def test_a_missing_object_is_no_fault(traced: tuple[str, list[dict[str, Any]]]) -> None:
    _, documents = traced
    missing = [document for document in documents if document.get("http", {}).get("response", {}).get("status") == 404]
    assert missing
    assert not any(document.get("fault") for document in missing)


def test_without_tracing_nothing_of_it_is_imported() -> None:
    """Powertools imports its own part of the Tracer in any case."""
    code = "import handlers, json, sys; print(json.dumps([*sys.modules]))"
    assert not {"aws_xray_sdk", "wrapt", "aws.tracing"} & set(run(code))
