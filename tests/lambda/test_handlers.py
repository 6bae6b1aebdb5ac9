"""The handlers as Lambda calls them: with variables, moto's S3, and the messages of SageMaker."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from fakes import MAGIC, PROFILE, TABLE, create_table, event, models_file, response_to
from faults import Fault, Server, serve
from moto import mock_aws

import handlers
from contract import EaselError, parse_request
from jobs.ports import Ticket
from webhooks.sender import Result, Sender
from webhooks.url import Target

BUCKET = "easel-bucket"
REQUEST = parse_request('{"prompt": "a red apple", "seed": 7}', PROFILE)
VARIABLES = {
    "EASEL_AUTH": "key",
    "EASEL_MODELS": models_file(("", "endpoint")),
    "EASEL_BUCKET": BUCKET,
    "EASEL_ACCOUNTS": TABLE,
    "EASEL_MODE": "async",
    "EASEL_RUNNER": "runner",
    "EASEL_WAIT_SECONDS": "0",
    "EASEL_DEADLINE_SECONDS": "55",
    "EASEL_JOB_TTL_SECONDS": "3600",
}


class Cloud:
    """A bucket, and a server in place of SageMaker and Lambda."""

    def __init__(self, server: Server) -> None:
        self.server, self.s3 = server, boto3.client("s3")

    def reset(self) -> None:
        self.server.requests.clear()
        locations = {"x-amzn-sagemaker-outputlocation": f"s3://{BUCKET}/async-output/1.out"}
        locations["x-amzn-sagemaker-failurelocation"] = f"s3://{BUCKET}/async-failures/1-error.out"
        body = {"EndpointStatus": "InService", "ProductionVariants": [{"CurrentInstanceCount": 0}]}
        self.server.fault = Fault(202, body=body, **locations)
        self.s3.create_bucket(Bucket=BUCKET)
        create_table()
        self.empty()

    def empty(self) -> None:
        for key in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]

    def submit(self, **fields: Any) -> Ticket:
        """Submit a job by the API."""
        sent = handlers.api(event("POST", "/jobs", {"prompt": "a red apple", "seed": 7, **fields}), None)
        assert sent["statusCode"] == 202, sent["body"]
        _, owner, id, _ = self.keys("jobs/")[0].split("/")
        return Ticket(owner, id)

    def job(self, ticket: Ticket) -> Any:
        response = handlers.api(event("GET", f"/jobs/{ticket.id}"), None)
        assert response["statusCode"] == 200
        return json.loads(response["body"])

    def put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"


@pytest.fixture(scope="module")
def module_cloud() -> Iterator[Cloud]:
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch, mock_aws(), serve() as server:
        for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER", "LAMBDA"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        for name, value in {**VARIABLES, **keys}.items():
            patch.setenv(name, value)
        clear_caches()
        yield Cloud(server)
        clear_caches()


@pytest.fixture
def cloud(module_cloud: Cloud) -> Cloud:
    module_cloud.reset()
    return module_cloud


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For tests that change variables: clears the caches of the handlers before and after."""
    clear_caches()
    yield monkeypatch
    clear_caches()


def clear_caches() -> None:
    for cached in (
        handlers._service,
        handlers._settings,
        handlers._router,
        handlers._store,
        handlers._models,
        handlers._predictor,
        handlers._finalizer,
        handlers._sqs,
        handlers._webhook_batches,
        handlers._accounting,
    ):
        cached.cache_clear()


def sns(*messages: Any) -> dict[str, Any]:
    texts = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}} for text in texts]}


def success(ticket: Ticket, location: str) -> dict[str, Any]:
    """Return a message as in the SageMaker guide, "Check prediction results"."""
    return {
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T08:00:00Z",
        "receivedTime": "2026-11-23T08:00:00Z",
        "invocationStatus": "Completed",
        "requestParameters": {"endpointName": "endpoint", "inputLocation": f"s3://b/{ticket.key('request.json')}"},
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


def test_the_success_topic_ends_a_job(cloud: Cloud) -> None:
    ticket = cloud.submit()
    assert cloud.job(ticket)["status"] == "queued"
    location = cloud.put("async-output/elsewhere.out", response_to(REQUEST))
    message = success(ticket, location)
    handlers.finalizer(sns(message, message), None)
    handlers.finalizer(sns(failure(ticket, "late and wrong")), None)
    job = cloud.job(ticket)
    assert (job["status"], job["seeds"], len(job["images"])) == ("succeeded", [7], 1)
    assert cloud.s3.get_object(Bucket=BUCKET, Key=ticket.key("image-0.png"))["Body"].read() == MAGIC["png"] + b"\0"


def test_an_output_without_an_sns_message(cloud: Cloud) -> None:
    ticket = cloud.submit()
    cloud.put("async-output/1.out", response_to(REQUEST))
    assert cloud.job(ticket)["status"] == "succeeded"


def test_a_message_without_an_inference_id_is_identified_by_its_input(cloud: Cloud) -> None:
    ticket = cloud.submit()
    message = success(ticket, cloud.put("async-output/1.out", response_to(REQUEST)))
    del message["inferenceId"]
    handlers.finalizer(sns(message), None)
    assert cloud.job(ticket)["status"] == "succeeded"


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
def test_the_error_topic_fails_a_job(cloud: Cloud, reason: str, code: str) -> None:
    ticket = cloud.submit()
    handlers.finalizer(sns(failure(ticket, reason)), None)
    assert cloud.job(ticket)["error"]["code"] == code


@pytest.mark.parametrize("body", [b"", b"<html>", None], ids=["empty", "HTML", "deleted"])
def test_an_invalid_output_fails_the_job(cloud: Cloud, body: bytes | None) -> None:
    ticket = cloud.submit()
    location = f"s3://{BUCKET}/async-output/1.out" if body is None else cloud.put("async-output/1.out", body)
    handlers.finalizer(sns(success(ticket, location)), None)
    assert cloud.job(ticket)["error"]["code"] == "model_bad_response"


def test_a_cancelled_job_stays_cancelled_when_its_input_is_missing(cloud: Cloud) -> None:
    ticket = cloud.submit()
    assert handlers.api(event("DELETE", f"/jobs/{ticket.id}"), None)["statusCode"] == 200
    assert cloud.keys(ticket.key("request.json")) == []
    handlers.finalizer(sns(failure(ticket, "Unable to download input data")), None)
    assert cloud.job(ticket)["status"] == "cancelled"


def test_messages_of_unknown_jobs_are_ignored(cloud: Cloud) -> None:
    unknown = Ticket("f" * 16, "f" * 44)
    handlers.finalizer(sns(failure(unknown, "x"), {**failure(unknown, "x"), "inferenceId": "smoke-test"}), None)
    assert cloud.keys() == []


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>"])
def test_messages_of_a_job_with_a_damaged_record_are_ignored(cloud: Cloud, body: bytes) -> None:
    """A redelivery would fail again."""
    ticket = cloud.submit()
    cloud.put(ticket.key("job.json"), body)
    handlers.finalizer(sns(failure(ticket, "x"), success(ticket, f"s3://{BUCKET}/async-output/1.out")), None)
    assert cloud.job(ticket)["error"]["code"] == "record_damaged"


def test_a_failing_store_raises_so_that_lambda_retries(cloud: Cloud) -> None:
    ticket = cloud.submit()
    cloud.empty()
    cloud.s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(EaselError) as error:
        handlers.finalizer(sns(failure(ticket, "x")), None)
    assert error.value.code == "config_error"


def forged(**changes: Any) -> Any:
    """Return a function that changes fields of a message; None removes a field."""
    return lambda message: {name: value for name, value in {**message, **changes}.items() if value is not None}


OTHER_URIS = [
    "x",
    "s3://else/async-output/1.out",
    "s3://else",
    f"s3://{BUCKET}/jobs/x",
    f"s3://{BUCKET}/async-output/../jobs/x",
    f"s3://{BUCKET}/async-output/",
    f"s3://{BUCKET}/async-output/\ud800",
    f"s3://{BUCKET}/async-output/{'x' * 2000}",
]
STATUSES: tuple[Any, ...] = 7, [], "InProgress", "completed"
FORGED: dict[str, Any] = {
    "not JSON": lambda message: 'sec"ret',
    "nothing": lambda message: "",
    "too deep": lambda message: "[" * 100_000,
    "a list": lambda message: ["secret"],
    "a string": lambda message: json.dumps("secret"),
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
    "no response": forged(responseParameters=None),
    "a string for a response": forged(responseParameters="secret"),
    "a number for a location": forged(responseParameters={"outputLocation": 7}),
    **{f"output: {uri[:40]!a}": forged(responseParameters={"outputLocation": uri}) for uri in OTHER_URIS},
    "a number for a reason": forged(invocationStatus="Failed", failureReason=7),
}


def test_an_invalid_message_is_ignored(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """One log line without the contents, no exception (Lambda would retry), and the next record is handled."""
    ticket, other = cloud.submit(), cloud.submit()
    message = success(ticket, f"s3://{BUCKET}/async-output/none")
    for name, forge in FORGED.items():
        with subtests.test(name):
            cloud.s3.delete_object(Bucket=BUCKET, Key=other.key("outcome.json"))
            assert cloud.job(other)["status"] == "queued"
            good = success(other, cloud.put("async-output/2.out", response_to(REQUEST)))
            caplog.clear()
            handlers.finalizer(sns(forge(message), good), None)
            ignored, ended = caplog.records
            assert (ignored.message, ignored.levelname, ended.message) == ("ignored", "WARNING", "job")
            assert vars(ignored)["reason"]
            assert "secret" not in str(vars(ignored))
            assert (cloud.job(ticket)["status"], cloud.job(other)["status"]) == ("queued", "succeeded")


def test_a_record_that_is_not_of_sns_is_ignored(cloud: Cloud) -> None:
    ticket = cloud.submit()
    good = sns(failure(ticket, "x"))["Records"]
    handlers.finalizer({"Records": [{}, None, 7, {"Sns": []}, {"Sns": {}}, {"Sns": {"Message": 7}}, *good]}, None)
    assert cloud.job(ticket)["status"] == "failed"


def test_a_failure_reason_that_is_nested_too_deeply(cloud: Cloud) -> None:
    ticket = cloud.submit()
    handlers.finalizer(sns(failure(ticket, '{"error":' + "[" * 100_000)), None)
    assert cloud.job(ticket)["error"]["code"] == "model_error"


@pytest.mark.parametrize("other", [{}, None, [], "x", {"Records": 7}, {"Records": None}], ids=str)
def test_the_finalizer_rejects_other_events(cloud: Cloud, other: Any) -> None:
    with pytest.raises(EaselError) as error:
        handlers.finalizer(other, None)
    assert error.value.code == "expected_object"


# --- realtime ------------------------------------------------------------------------------------


def test_the_runner_runs_a_job_once(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("EASEL_MODE", "realtime")
    ticket = cloud.submit()
    sent = json.loads(next(body for path, _, body in cloud.server.requests if "runner" in path))
    cloud.server.fault = Fault(200, body=response_to(REQUEST))
    for _ in range(2):
        handlers.runner(sent, None)
    calls = [path for path, _, _ in cloud.server.requests if path == "/endpoints/endpoint/invocations"]
    job = cloud.job(ticket)
    assert (len(calls), job["status"], bool(job["started_at"])) == (1, "succeeded", True)


def test_the_runner_records_a_failure(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("EASEL_MODE", "realtime")
    ticket = cloud.submit()
    cloud.server.fault = Fault(500, "InternalFailure")
    handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
    assert cloud.job(ticket)["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("other", [{}, [], None, {"owner": "a", "id": "b"}, {"owner": "../x", "id": None}], ids=str)
def test_the_runner_rejects_other_events(other: Any) -> None:
    with pytest.raises(EaselError) as error:
        handlers.runner(other, None)
    assert error.value.code == "expected_object"


# --- the budget's stop ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_no_job_is_taken_while_the_budget_is_used_up(cloud: Cloud, environ: pytest.MonkeyPatch, mode: str) -> None:
    environ.setenv("EASEL_MODE", mode)
    environ.setenv("EASEL_STOP_MARKER", "stopped.json")
    cloud.submit()
    clear_caches()
    cloud.server.requests.clear()
    cloud.put("stopped.json", b"{}")
    refused = handlers.api(event("POST", "/jobs", {"prompt": "a red apple"}), None)
    problem = json.loads(refused["body"])
    assert (refused["statusCode"], problem["code"], problem["retryable"]) == (503, "over_budget", False)
    assert "`easel resume`" in problem["hint"]
    assert "`budget_usd`" in problem["hint"]
    assert cloud.server.requests == []
    health = json.loads(handlers.api(event("GET", "/health"), None)["body"])
    assert (health["status"], health["endpoint"]["status"]) == ("degraded", "broken")
    assert "budget" in health["endpoint"]["detail"]


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('{"stopped_at": "2026-11-24T08:00:00+00:00", "budget_usd": 50}', "budget of 50 USD was used up on 2026-11-24"),
        ('{"stopped_at": "2026-11-24T08:00:00+00:00"}', "budget is used up"),
        ("[]", "budget is used up"),
        ("{", "budget is used up"),
    ],
)
def test_the_refusal_says_what_the_marker_knows(
    cloud: Cloud, environ: pytest.MonkeyPatch, marker: str, words: str
) -> None:
    environ.setenv("EASEL_STOP_MARKER", "stopped.json")
    cloud.put("stopped.json", marker.encode())
    problem = json.loads(handlers.api(event("POST", "/jobs", {"prompt": "a red apple"}), None)["body"])
    assert (problem["code"], words in problem["detail"]) == ("over_budget", True)


def test_a_job_that_waited_before_the_stop_can_still_end(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("EASEL_STOP_MARKER", "stopped.json")
    ticket = cloud.submit()
    clear_caches()
    cloud.put("stopped.json", b"{}")
    assert "budget" in cloud.job(ticket)["message"]
    cloud.put("async-output/1.out", response_to(REQUEST))
    assert cloud.job(ticket)["status"] == "succeeded"


def test_the_stop_is_looked_up_only_where_the_budget_can_stop(cloud: Cloud) -> None:
    cloud.put("stopped.json", b"{}")
    assert cloud.submit()


# --- variables -----------------------------------------------------------------------------------

REQUIRED = [name for name in VARIABLES if name != "EASEL_RUNNER"]


@pytest.mark.parametrize(("name", "value"), [*((name, "") for name in REQUIRED), ("EASEL_MODE", "fast"),
    ("EASEL_AUTH", "open"), ("EASEL_WAIT_SECONDS", "soon"),
    ("EASEL_MODELS", "missing.json"), ("EASEL_MODELS", "/")])  # fmt: skip
def test_an_invalid_variable_is_named(cloud: Cloud, environ: pytest.MonkeyPatch, name: str, value: str) -> None:
    environ.setenv(name, value)
    response = handlers.api(event("GET", "/health"), None)
    body = json.loads(response["body"])
    assert (response["statusCode"], body["code"]) == (500, "config_error")
    assert name in body["detail"]
    environ.setenv(name, VARIABLES[name])
    assert handlers.api(event("GET", "/health"), None)["statusCode"] == 200, "it is read again after an error"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"models": []}', '{"models": [{"profile": {}, "endpoint": "e"}]}'])
def test_a_damaged_file_of_models_is_a_configuration_error(
    cloud: Cloud, environ: pytest.MonkeyPatch, text: str
) -> None:
    environ.setenv("EASEL_MODELS", models_file(text=text))
    assert json.loads(handlers.api(event("GET", "/models"), None)["body"])["code"] == "config_error"


def test_the_file_of_models_is_found_where_layers_are_imported_from(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    file = Path(models_file(("a", "endpoint-a"), ("b", "endpoint-b")))
    environ.syspath_prepend(str(file.parent))
    environ.setenv("EASEL_MODELS", file.name)
    models = json.loads(handlers.api(event("GET", "/models"), None)["body"])["models"]
    assert [model["id"] for model in models] == ["a", "b"]


@pytest.mark.parametrize(("model", "endpoint"), [(None, "endpoint-a"), ("a", "endpoint-a"), ("b", "endpoint-b")])
@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_each_job_runs_on_the_endpoint_of_its_model(
    cloud: Cloud, environ: pytest.MonkeyPatch, mode: str, model: str | None, endpoint: str
) -> None:
    environ.setenv("EASEL_MODE", mode)
    environ.setenv("EASEL_MODELS", models_file(("a", "endpoint-a"), ("b", "endpoint-b")))
    ticket = cloud.submit(model=model)
    if mode == "realtime":
        cloud.server.fault = Fault(200, body=response_to(REQUEST))
        handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
    called = {path.split("/")[2] for path, _, _ in cloud.server.requests if path.startswith("/endpoints/")}
    assert called == {endpoint}


def test_the_runner_fails_jobs_of_a_model_that_was_removed(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("EASEL_MODE", "realtime")
    environ.setenv("EASEL_MODELS", models_file(("a", "endpoint-a"), ("b", "endpoint-b")))
    ticket = cloud.submit(model="b")
    clear_caches()
    environ.setenv("EASEL_MODELS", models_file(("a", "endpoint-a")))
    handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
    job = cloud.job(ticket)
    assert (job["model"], job["status"], job["error"]["code"]) == ("b", "failed", "endpoint_missing")


def test_the_runner_gives_a_job_of_an_older_version_to_the_default_model(
    cloud: Cloud, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("EASEL_MODE", "realtime")
    environ.setenv("EASEL_MODELS", models_file(("a", "endpoint-a"), ("b", "endpoint-b")))
    ticket = cloud.submit()
    record = json.loads(cloud.s3.get_object(Bucket=BUCKET, Key=ticket.key("job.json"))["Body"].read())
    assert record.pop("model") == "a"
    cloud.put(ticket.key("job.json"), json.dumps(record).encode())
    cloud.server.fault = Fault(200, body=response_to(REQUEST))
    handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
    assert cloud.job(ticket)["status"] == "succeeded"
    assert [path for path, _, _ in cloud.server.requests if path.startswith("/endpoints/")] == [
        "/endpoints/endpoint-a/invocations"
    ]


def test_the_runner_variable_is_required_in_realtime_mode_only(cloud: Cloud, environ: pytest.MonkeyPatch) -> None:
    environ.delenv("EASEL_RUNNER")
    assert handlers.api(event("GET", "/health"), None)["statusCode"] == 200
    clear_caches()
    environ.setenv("EASEL_MODE", "realtime")
    assert "EASEL_RUNNER" in handlers.api(event("GET", "/health"), None)["body"]


def test_a_request_without_a_gateway_id_gets_the_id_of_lambda(cloud: Cloud) -> None:
    sent = event("GET", "/health")
    sent["requestContext"]["requestId"] = "bad\r\nid"
    context = SimpleNamespace(aws_request_id="1f5b7f2e-0000-4000-8000-000000000000")
    assert handlers.api(sent, context)["headers"]["x-request-id"] == context.aws_request_id
    assert len(handlers.api(sent, None)["headers"]["x-request-id"]) == 32


# --- webhooks ------------------------------------------------------------------------------------


def test_an_end_is_queued_by_the_finalizer_and_delivered_by_the_function(
    cloud: Cloud, environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="webhooks")["QueueUrl"]
    environ.setenv("EASEL_WEBHOOK_QUEUE", queue)
    clear_caches()
    sent: list[str] = []

    def post(sender: Sender, target: Target, headers: Mapping[str, str], body: bytes) -> Result:
        sent.append(target.path)
        return Result(204)

    environ.setattr(Sender, "post", post)
    body = {"prompt": "a red apple", "seed": 7, "webhook": "https://hooks.example.com/hook?token=secret"}
    assert handlers.api(event("POST", "/jobs", body), None)["statusCode"] == 202
    _, owner, id, _ = cloud.keys("jobs/")[0].split("/")
    ticket = Ticket(owner, id)
    location = cloud.put("async-output/1.out", response_to(REQUEST))
    for _ in range(2):
        handlers.finalizer(sns(success(ticket, location)), None)
    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    record = {"messageId": "m", "receiptHandle": message["ReceiptHandle"], "body": message["Body"]}
    for _ in range(2):
        assert handlers.webhooks({"Records": [record]}, None) == {"batchItemFailures": []}
    assert sent == ["/hook?token=secret"]
    (delivery,) = cloud.job(ticket)["webhook"]["deliveries"]
    assert (delivery["state"], delivery["attempts"][0]["status"]) == ("delivered", 204)
    assert "token" not in capsys.readouterr().out


def test_a_queue_that_is_gone_changes_no_job_and_makes_lambda_call_the_finalizer_again(
    cloud: Cloud, environ: pytest.MonkeyPatch
) -> None:
    queue = boto3.client("sqs").create_queue(QueueName="gone")["QueueUrl"]
    environ.setenv("EASEL_WEBHOOK_QUEUE", queue)
    clear_caches()
    boto3.client("sqs").delete_queue(QueueUrl=queue)
    body = {"prompt": "a red apple", "seed": 7, "webhook": "https://hooks.example.com/"}
    assert handlers.api(event("POST", "/jobs", body), None)["statusCode"] == 202
    _, owner, id, _ = cloud.keys("jobs/")[0].split("/")
    location = cloud.put("async-output/1.out", response_to(REQUEST))
    with pytest.raises(EaselError) as error:
        handlers.finalizer(sns(success(Ticket(owner, id), location)), None)
    assert error.value.code == "config_error"
    assert cloud.job(Ticket(owner, id))["status"] == "succeeded"
