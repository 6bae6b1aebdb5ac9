"""The functions as Lambda calls them: variables, S3 as moto knows it, and what SageMaker sends."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from fakes import MAGIC, PROFILE, ROOT, answer_to, event
from faults import Fault, Server, serve
from moto import mock_aws

import handlers
from contract import EaselError, parse_request
from jobs.ports import Ticket

BUCKET = "easel-bucket"
REQUEST = parse_request('{"prompt": "a red apple", "seed": 7}', PROFILE)
VARIABLES = {
    "EASEL_MODEL_PROFILE": (ROOT / "examples/profile.json").read_text(),
    "EASEL_BUCKET": BUCKET,
    "EASEL_ENDPOINT": "drawer",
    "EASEL_MODE": "async",
    "EASEL_RUNNER": "runner",
    "EASEL_WAIT_SECONDS": "0",
    "EASEL_DEADLINE_SECONDS": "55",
    "EASEL_JOB_TTL_SECONDS": "3600",
}


class Cloud:
    """A bucket, and a server that stands for SageMaker and Lambda."""

    def __init__(self, server: Server) -> None:
        self.server, self.s3 = server, boto3.client("s3")

    def start_anew(self) -> None:
        self.server.asked.clear()
        places = {"x-amzn-sagemaker-outputlocation": f"s3://{BUCKET}/answers/1.out"}
        places["x-amzn-sagemaker-failurelocation"] = f"s3://{BUCKET}/failures/1-error.out"
        body = {"EndpointStatus": "InService", "ProductionVariants": [{"CurrentInstanceCount": 0}]}
        self.server.fault = Fault(202, body=body, **places)
        self.s3.create_bucket(Bucket=BUCKET)
        self.empty()

    def empty(self) -> None:
        for key in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]

    def submit(self) -> Ticket:
        """A job through the front door."""
        sent = handlers.api(event("POST", "/jobs", {"prompt": "a red apple", "seed": 7}), None)
        assert sent["statusCode"] == 202, sent["body"]
        _, owner, id, _ = self.keys("jobs/")[0].split("/")
        return Ticket(owner, id)

    def job(self, ticket: Ticket) -> Any:
        answer = handlers.api(event("GET", f"/jobs/{ticket.id}"), None)
        assert answer["statusCode"] == 200
        return json.loads(answer["body"])

    def put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"


@pytest.fixture(scope="module")
def sky() -> Iterator[Cloud]:
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch, mock_aws(), serve() as server:
        for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER", "LAMBDA"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        for name, value in {**VARIABLES, **keys}.items():
            patch.setenv(name, value)
        forget()
        yield Cloud(server)
        forget()


@pytest.fixture
def the_cloud(sky: Cloud) -> Cloud:
    sky.start_anew()
    return sky


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For tests that change variables: handlers are made anew before and after."""
    forget()
    yield monkeypatch
    forget()


def forget() -> None:
    for made in (handlers._service, handlers._router, handlers._store, handlers._predictor, handlers._finalizer):
        made.cache_clear()


def sns(*messages: Any) -> dict[str, Any]:
    texts = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}} for text in texts]}


def success(ticket: Ticket, location: str) -> dict[str, Any]:
    """As in the SageMaker guide, "Check prediction results"."""
    return {
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T08:00:00Z",
        "receivedTime": "2026-11-23T08:00:00Z",
        "invocationStatus": "Completed",
        "requestParameters": {"endpointName": "drawer", "inputLocation": f"s3://b/{ticket.key('request.json')}"},
        "responseParameters": {"contentType": "application/json", "outputLocation": location},
        "inferenceId": ticket.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def failure(ticket: Ticket, reason: str) -> dict[str, Any]:
    message = success(ticket, "")
    del message["responseParameters"]
    return {**message, "invocationStatus": "Failed", "failureReason": reason}


# --- async ---------------------------------------------------------------------------------------


def test_a_picture_by_way_of_the_success_topic(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    job = the_cloud.job(ticket)
    assert (job["status"], job["message"][:20]) == ("queued", "The model is asleep ")
    location = the_cloud.put("answers/elsewhere.out", answer_to(REQUEST))
    message = success(ticket, location)
    handlers.finalizer(sns(message, message), None)
    handlers.finalizer(sns(failure(ticket, "late and wrong")), None)
    job = the_cloud.job(ticket)
    assert (job["status"], job["seeds"], len(job["images"])) == ("succeeded", [7], 1)
    assert the_cloud.s3.get_object(Bucket=BUCKET, Key=ticket.key("image-0.png"))["Body"].read() == MAGIC["png"] + b"\0"


def test_a_picture_that_no_topic_told_of(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    the_cloud.put("answers/1.out", answer_to(REQUEST))
    assert the_cloud.job(ticket)["status"] == "succeeded"


def test_a_notice_without_an_inference_id_is_known_by_its_input(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    message = success(ticket, the_cloud.put("answers/1.out", answer_to(REQUEST)))
    del message["inferenceId"]
    handlers.finalizer(sns(message), None)
    assert the_cloud.job(ticket)["status"] == "succeeded"


REASONS = [
    ("ClientError: Unable to download input data from s3://b/jobs/x/request.json", "input_missing"),
    ("Request timed out before a response was received", "model_timeout"),
    ("Request expired in the queue", "job_expired"),
    ("Received server error (500) from primary: CUDA out of memory", "gpu_out_of_memory"),
    ("Received server error (500): Worker died.", "container_died"),
    ("Received client error (400) from primary", "model_error"),
    ("", "model_error"),
]


@pytest.mark.parametrize(("reason", "code"), REASONS)
def test_the_error_topic_fails_a_job(the_cloud: Cloud, reason: str, code: str) -> None:
    ticket = the_cloud.submit()
    handlers.finalizer(sns(failure(ticket, reason)), None)
    assert the_cloud.job(ticket)["error"]["code"] == code


@pytest.mark.parametrize("body", [b"", b"<html>", None], ids=["empty", "a page", "gone"])
def test_outputs_that_cannot_be_read(the_cloud: Cloud, body: bytes | None) -> None:
    ticket = the_cloud.submit()
    location = f"s3://{BUCKET}/answers/1.out" if body is None else the_cloud.put("answers/1.out", body)
    handlers.finalizer(sns(success(ticket, location)), None)
    assert the_cloud.job(ticket)["error"]["code"] == "model_bad_response"


def test_a_cancelled_jobs_missing_input_stays_cancelled(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    assert handlers.api(event("DELETE", f"/jobs/{ticket.id}"), None)["statusCode"] == 200
    assert the_cloud.keys(ticket.key("request.json")) == []
    handlers.finalizer(sns(failure(ticket, "Unable to download input data")), None)
    assert the_cloud.job(ticket)["status"] == "cancelled"


def test_notices_of_nobodys_jobs_are_dropped(the_cloud: Cloud) -> None:
    stranger = Ticket("f" * 16, "f" * 44)
    handlers.finalizer(sns(failure(stranger, "x"), {**failure(stranger, "x"), "inferenceId": "smoke-test"}), None)
    assert the_cloud.keys() == []


def test_a_store_that_refuses_makes_sns_send_again(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    the_cloud.empty()
    the_cloud.s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(EaselError) as refusal:
        handlers.finalizer(sns(failure(ticket, "x")), None)
    assert refusal.value.code == "config_error"


def forged(**changes: Any) -> Any:
    """A notice of a job that exists, with other values; None takes a key away."""
    return lambda message: {name: value for name, value in {**message, **changes}.items() if value is not None}


ELSEWHERE = ["x", "s3://else/answers/1.out", "s3://else", f"s3://{BUCKET}/jobs/x", f"s3://{BUCKET}/answers/../jobs/x",
    f"s3://{BUCKET}/answers/", f"s3://{BUCKET}/answers/\ud800", f"s3://{BUCKET}/answers/{'x' * 2000}"]  # fmt: skip
STATUSES: tuple[Any, ...] = 7, [], "InProgress", "completed"
FORGED: dict[str, Any] = {
    "no JSON": lambda message: 'sec"ret',
    "nothing": lambda message: "",
    "too deep": lambda message: "[" * 100_000,
    "a list": lambda message: ["secret"],
    "a text": lambda message: json.dumps("secret"),
    "null": lambda message: "null",
    "a number": lambda message: "7",
    **{
        f"inferenceId: {id!r}": forged(inferenceId=id)
        for id in (7, True, ["secret"], {"a": 1}, "../x", "secret", "\ud800")
    },
    "no status": forged(invocationStatus=None),
    **{f"status: {status!r}": forged(invocationStatus=status) for status in STATUSES},
    "no id, and a number for the input": forged(inferenceId=None, requestParameters={"inputLocation": 7}),
    "no id, and a path for the input": forged(inferenceId=None, requestParameters={"inputLocation": "s3://b/../x"}),
    "no id, and no parameters": forged(inferenceId=None, requestParameters=None),
    "a list of parameters": forged(requestParameters=["secret"]),
    "no answer": forged(responseParameters=None),
    "a text for an answer": forged(responseParameters="secret"),
    "a number for a location": forged(responseParameters={"outputLocation": 7}),
    **{f"answer: {uri[:40]!a}": forged(responseParameters={"outputLocation": uri}) for uri in ELSEWHERE},
    "a number for a reason": forged(invocationStatus="Failed", failureReason=7),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_notice_of_sagemakers_is_left_aside(
    the_cloud: Cloud, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line without its contents, no exception for Lambda to call again, and the next record is dealt with."""
    ticket, other = the_cloud.submit(), the_cloud.submit()
    good = success(other, the_cloud.put("answers/2.out", answer_to(REQUEST)))
    caplog.clear()
    handlers.finalizer(sns(FORGED[name](success(ticket, f"s3://{BUCKET}/answers/none")), good), None)
    dropped, ended = caplog.records
    assert (dropped.message, dropped.levelname, ended.message) == ("dropped", "WARNING", "job")
    assert vars(dropped)["reason"]
    assert "secret" not in str(vars(dropped))
    assert (the_cloud.job(ticket)["status"], the_cloud.job(other)["status"]) == ("queued", "succeeded")


def test_a_record_that_is_none_of_sns_is_left_aside(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    good = sns(failure(ticket, "x"))["Records"]
    handlers.finalizer({"Records": [{}, None, 7, {"Sns": []}, {"Sns": {}}, {"Sns": {"Message": 7}}, *good]}, None)
    assert the_cloud.job(ticket)["status"] == "failed"


def test_a_reason_that_is_nested_too_deep_is_only_words(the_cloud: Cloud) -> None:
    ticket = the_cloud.submit()
    handlers.finalizer(sns(failure(ticket, '{"error":' + "[" * 100_000)), None)
    assert the_cloud.job(ticket)["error"]["code"] == "model_error"


@pytest.mark.parametrize("wrong", [{}, None, [], "x", {"Records": 7}, {"Records": None}], ids=str)
def test_events_that_are_not_of_sns(the_cloud: Cloud, wrong: Any) -> None:
    with pytest.raises(EaselError) as refusal:
        handlers.finalizer(wrong, None)
    assert refusal.value.code == "expected_object"


# --- realtime ------------------------------------------------------------------------------------


def test_a_picture_by_way_of_the_runner(the_cloud: Cloud, changed: pytest.MonkeyPatch) -> None:
    changed.setenv("EASEL_MODE", "realtime")
    ticket = the_cloud.submit()
    asked = json.loads(next(body for path, _, body in the_cloud.server.asked if "runner" in path))
    the_cloud.server.fault = Fault(200, body=answer_to(REQUEST))
    for _ in range(2):
        handlers.runner(asked, None)
    calls = [path for path, _, _ in the_cloud.server.asked if path == "/endpoints/drawer/invocations"]
    job = the_cloud.job(ticket)
    assert (len(calls), job["status"], bool(job["started_at"])) == (1, "succeeded", True)


def test_a_runner_tells_a_failure(the_cloud: Cloud, changed: pytest.MonkeyPatch) -> None:
    changed.setenv("EASEL_MODE", "realtime")
    ticket = the_cloud.submit()
    the_cloud.server.fault = Fault(500, "InternalFailure")
    handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
    assert the_cloud.job(ticket)["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("wrong", [{}, [], None, {"owner": "a", "id": "b"}, {"owner": "../x", "id": None}], ids=str)
def test_a_runner_runs_nothing_else(wrong: Any) -> None:
    with pytest.raises(EaselError) as refusal:
        handlers.runner(wrong, None)
    assert refusal.value.code == "expected_object"


# --- variables -----------------------------------------------------------------------------------

NEEDED = [name for name in VARIABLES if name != "EASEL_RUNNER"]


@pytest.mark.parametrize(("name", "value"), [*((name, "") for name in NEEDED), ("EASEL_MODE", "fast"),
    ("EASEL_WAIT_SECONDS", "soon"), ("EASEL_MODEL_PROFILE", "{}"), ("EASEL_MODEL_PROFILE", "[]")])  # fmt: skip
def test_a_wrong_variable_is_named(the_cloud: Cloud, changed: pytest.MonkeyPatch, name: str, value: str) -> None:
    changed.setenv(name, value)
    answer = handlers.api(event("GET", "/health"), None)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["code"]) == (500, "config_error")
    assert name in body["detail"]
    changed.setenv(name, VARIABLES[name])
    assert handlers.api(event("GET", "/health"), None)["statusCode"] == 200, "and it is read anew"


def test_the_runner_is_needed_in_one_mode_only(the_cloud: Cloud, changed: pytest.MonkeyPatch) -> None:
    changed.delenv("EASEL_RUNNER")
    assert handlers.api(event("GET", "/health"), None)["statusCode"] == 200
    forget()
    changed.setenv("EASEL_MODE", "realtime")
    assert "EASEL_RUNNER" in handlers.api(event("GET", "/health"), None)["body"]


def test_a_request_without_an_id_of_the_gateway_gets_lambdas(the_cloud: Cloud) -> None:
    sent = event("GET", "/health")
    sent["requestContext"]["requestId"] = "bad\r\nid"
    context = SimpleNamespace(aws_request_id="1f5b7f2e-0000-4000-8000-000000000000")
    assert handlers.api(sent, context)["headers"]["x-request-id"] == context.aws_request_id
    assert len(handlers.api(sent, None)["headers"]["x-request-id"]) == 32
