"""The AWS adapters, with moto's S3 and a local server that fails like SageMaker and Lambda."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from faults import Fault, Server, serve
from moto import mock_aws

from aws import clients, endpoints
from aws.endpoints import AsyncEndpoint, EndpointWatcher, RealtimeEndpoint, RealtimePredictor
from aws.store import BucketStore
from contract import DEADLINE_MS, EaselError
from jobs.ports import Submission, Ticket

TICKET = Ticket("0123456789abcdef", "0" * 44)
BUCKET = "easel-bucket"
SERVICES = ("SAGEMAKER_RUNTIME", "SAGEMAKER", "LAMBDA")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def store() -> Iterator[BucketStore]:
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield BucketStore(BUCKET)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(endpoints, "_SUBMIT_SECONDS", 50)
    monkeypatch.setattr(endpoints, "_REALTIME_SECONDS", 50)
    with serve() as running:
        for service in SERVICES:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", running.url)
        yield running


# --- the store -----------------------------------------------------------------------------------


def test_objects_are_written_read_and_deleted(store: BucketStore) -> None:
    assert store.read("jobs/a/x.json") is None
    store.write("jobs/a/x.json", b"1")
    store.write("jobs/a/x.png", b"2", "image/png")
    assert store.read("jobs/a/x.json") == b"1"
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key="jobs/a/x.png")["ContentType"] == "image/png"
    store.delete("jobs/a/x.json")
    store.delete("jobs/a/x.json")
    assert store.read("jobs/a/x.json") is None


def test_only_the_first_create_writes(store: BucketStore) -> None:
    """S3 guarantees that this is atomic. Moto checks and then writes, so this test cannot show it."""
    assert [store.create("idempotency/k.json", body) for body in (b"1", b"2", b"3")] == [True, False, False]
    assert store.read("idempotency/k.json") == b"1"


def test_a_listing_is_limited_sorted_and_flat(store: BucketStore) -> None:
    for key in ("jobs/o/b/job.json", "jobs/o/a/job.json", "jobs/o/a/outcome.json", "jobs/o/c", "jobs/p/z/job.json"):
        store.write(key, b"")
    assert store.list("jobs/o/", 10) == ["a", "b", "c"]
    assert store.list("jobs/o/", 2) == ["a", "b"]
    assert store.list("jobs/none/", 2) == []


def test_links_are_short_lived_regional_and_signed_by_v4(store: BucketStore) -> None:
    url = urlsplit(store.link("jobs/o/i/image-0.png", 99_999_999))
    query = parse_qs(url.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["900"]
    assert url.hostname == f"{BUCKET}.s3.us-east-1.amazonaws.com"
    assert url.path == "/jobs/o/i/image-0.png"


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-south-1"])
def test_a_link_has_the_host_of_its_region(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    """The global host redirects callers to the regional one, where the signature would be wrong."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_REGION", region)
    assert urlsplit(BucketStore("store").link("jobs/o/i/image-0.png", 900)).netloc == f"store.s3.{region}.amazonaws.com"


def test_uris_and_keys(store: BucketStore) -> None:
    assert store.key_of(store.uri_of("async-output/x.out")) == "async-output/x.out"
    assert store.key_of("s3://another/async-output/x.out") is None
    assert store.key_of(f"s3://{BUCKET}-two/x") is None


class FailingClient:
    """An S3 client whose calls raise the given errors, one after the other. Counts the calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return {}

        return call


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "arn:aws:iam::123456789012:role/secret"}}, "PutObject")


STORE_CODES = [
    ("AccessDenied", "config_error"),
    ("NoSuchBucket", "config_error"),
    ("ExpiredToken", "config_error"),
    ("SlowDown", "upstream_unavailable"),
    ("InternalError", "upstream_error"),
    ("418", "upstream_error"),
]


@pytest.mark.parametrize(("code", "expected"), STORE_CODES)
def test_errors_of_the_bucket(code: str, expected: str) -> None:
    store = BucketStore(BUCKET)
    calls: list[Callable[[], Any]] = [
        lambda: store.create("k", b""),
        lambda: store.write("k", b""),
        lambda: store.delete("k"),
        lambda: store.list("k/", 1),
    ]
    if code != "AccessDenied":  # see `PrefixClient`
        calls.append(lambda: store.read("k"))
    for call in calls:
        store.__dict__["_s3"] = client = FailingClient(client_error(code))
        with pytest.raises(EaselError) as failure:
            call()
        assert (failure.value.code, client.calls) == (expected, 1)
        assert "123456789012" not in failure.value.message + failure.value.hint


class PrefixClient:
    """An S3 client of a role that may list by prefix only: S3 responds 403 to a read of a missing object.

    `readable`: whether the role may read. `on_denied` is called after such a response.
    """

    def __init__(self, readable: bool = True, on_denied: Callable[[], None] = lambda: None) -> None:
        self.client, self.readable, self.on_denied = boto3.client("s3"), readable, on_denied
        self.lists = 0

    def get_object(self, **request: str) -> Any:
        try:
            response = self.client.get_object(**request)
        except self.client.exceptions.NoSuchKey:
            response = None
        if response is None or not self.readable:
            self.on_denied()
            raise client_error("AccessDenied")
        return response

    def list_objects_v2(self, **request: Any) -> Any:
        self.lists += 1
        return self.client.list_objects_v2(**request)


def test_a_missing_object_is_no_error_of_a_role_that_lists_by_prefix(store: BucketStore) -> None:
    store.write("jobs/a/x.json.bak", b"1")
    store.__dict__["_s3"] = client = PrefixClient()
    assert [store.read("jobs/a/x.json") for _ in range(3)] == [None] * 3
    assert client.lists == 1, "a caller that polls does not list each time"
    client.client.put_object(Bucket=BUCKET, Key="jobs/a/x.json", Body=b"2")
    assert store.read("jobs/a/x.json") == b"2"


def test_an_object_that_is_written_between_read_and_list_is_read(store: BucketStore) -> None:
    def write() -> None:
        client.client.put_object(Bucket=BUCKET, Key="k", Body=b"1")

    store.__dict__["_s3"] = client = PrefixClient(on_denied=write)
    assert store.read("k") == b"1"


def test_an_object_that_exists_but_may_not_be_read_is_a_config_error(store: BucketStore) -> None:
    store.write("k", b"1")
    store.__dict__["_s3"] = PrefixClient(readable=False)
    with pytest.raises(EaselError) as failure:
        store.read("k")
    assert failure.value.code == "config_error"


def test_a_list_that_is_denied_is_a_config_error() -> None:
    store = BucketStore(BUCKET)
    store.__dict__["_s3"] = FailingClient(client_error("AccessDenied"), client_error("AccessDenied"))
    with pytest.raises(EaselError) as failure:
        store.read("k")
    assert failure.value.code == "config_error"


def test_conflicting_conditional_writes_are_retried() -> None:
    store = BucketStore(BUCKET)
    store.__dict__["_s3"] = client = FailingClient(*[client_error("ConditionalRequestConflict")] * 2)
    assert store.create("k", b"") is True
    assert client.calls == 3
    store.__dict__["_s3"] = FailingClient(*[client_error("ConditionalRequestConflict")] * 9)
    with pytest.raises(EaselError) as failure:
        store.create("k", b"")
    assert failure.value.code == "upstream_unavailable"


def test_a_missing_bucket_is_a_config_error() -> None:
    with mock_aws(), pytest.raises(EaselError) as failure:
        BucketStore("nowhere").read("k")
    assert failure.value.code == "config_error"


# --- errors of calls (failures.md 2.3) -----------------------------------------------------------


def model_error(status: int, text: str) -> Fault:
    message = f"Received client error ({status}) from primary with message"
    return Fault(424, "ModelError", {"Message": message, "OriginalStatusCode": status, "OriginalMessage": text})


OOM = '{"error":{"code":"nan_output","message":"m","hint":"h","param":null}}'
WORKER_DIED = '{"code": 500, "type": "InternalServerException", "message": "Worker died."}'
QUEUE_FULL = '{"code": 503, "type": "ServiceUnavailableException", "message": "No worker is available"}'
LONG = "1 validation error: Member must have length less than or equal to 6291456"
FAULTS = [
    ("any exception of the container", model_error(400, "No module named 'x'"), "model_error"),
    ("the container's own error inside", model_error(400, OOM), "nan_output"),
    ("out of memory", model_error(500, "CUDA out of memory. Tried to allocate"), "gpu_out_of_memory"),
    ("timeout of the model", model_error(0, "Your invocation timed out while waiting"), "model_timeout"),
    ("worker died", model_error(500, WORKER_DIED), "container_died"),
    ("queue full", model_error(503, QUEUE_FULL), "model_busy"),
    ("out of the host's memory", model_error(507, "Out of resources"), "model_busy"),
    ("response not loaded", model_error(500, "could not load the entire response body"), "model_bad_response"),
    ("HTML", model_error(500, "<html>Internal"), "model_error"),
    ("not ready", Fault(429, "ModelNotReadyException"), "model_loading"),
    (
        "no endpoint",
        Fault(400, "ValidationError", {"message": "Endpoint x of account 1 not found."}),
        "endpoint_missing",
    ),
    ("body too large", Fault(400, "ValidationError", {"message": LONG}), "payload_too_large"),
    ("unavailable", Fault(503, "ServiceUnavailable"), "upstream_unavailable"),
    ("internal", Fault(500, "InternalFailure"), "upstream_error"),
    ("dependency", Fault(530, "InternalDependencyException"), "upstream_error"),
    ("throttled as 400", Fault(400, "ThrottlingException"), "throttled"),
    ("throttled as 429", Fault(429, "ThrottlingException"), "throttled"),
    ("denied", Fault(403, "AccessDeniedException"), "config_error"),
    ("expired", Fault(403, "ExpiredTokenException"), "config_error"),
    ("unknown code", Fault(418), "upstream_error"),
    ("HTML of a proxy", Fault(502, body=b"<html>"), "upstream_error"),
    ("no response", Fault(behaviour="hang"), "model_timeout"),
    ("closed", Fault(behaviour="close"), "upstream_closed"),
]


@pytest.mark.parametrize(("fault", "code"), [pytest.param(fault, code, id=name) for name, fault, code in FAULTS])
@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_an_error_of_sagemaker_has_a_code_and_is_not_retried(
    server: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: str, mode: str
) -> None:
    server.fault = fault
    if fault.behaviour == "hang":
        monkeypatch.setattr(endpoints, "_SUBMIT_SECONDS", 1)
        monkeypatch.setattr(endpoints, "_REALTIME_SECONDS", 1)
    with pytest.raises(EaselError) as failure:
        call(mode)
    assert failure.value.code == code
    assert len([path for path, _, _ in server.requests if path.startswith("/endpoints/")]) == 1
    assert "account" not in failure.value.message


def call(mode: str) -> Any:
    if mode == "async":
        return AsyncEndpoint("endpoint", "small", BucketStore(BUCKET), 3600).submit(TICKET)
    return RealtimePredictor("endpoint", "small").predict(TICKET, b'{"prompt":["a"]}')


def test_a_response_that_is_cut_off(server: Server) -> None:
    server.fault = Fault(200, body=b'{"generated', behaviour="cut")
    with pytest.raises(EaselError) as failure:
        call("realtime")
    assert (failure.value.code, len(server.requests)) == ("upstream_truncated", 1)


@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_a_closed_port_is_unreachable(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(EaselError) as failure:
            call(mode)
    assert failure.value.code == "upstream_unreachable"


def test_missing_credentials_are_a_config_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "session", get_session)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(EaselError) as failure:
        call("async")
    assert failure.value.code == "config_error"


def test_invalid_parameters_are_an_internal_error(server: Server) -> None:
    with pytest.raises(EaselError) as failure:
        RealtimePredictor("endpoint", "small").predict(TICKET, 7)  # type: ignore[arg-type]
    assert (failure.value.code, server.requests) == ("internal", [])


# --- successful calls ----------------------------------------------------------------------------


def test_the_parameters_of_a_submission(server: Server) -> None:
    locations = {"x-amzn-sagemaker-outputlocation": f"s3://{BUCKET}/async-output/1.out"}
    locations["x-amzn-sagemaker-failurelocation"] = f"s3://{BUCKET}/async-failures/1-error.out"
    server.fault = Fault(202, body={"InferenceId": TICKET.inference_id}, **locations)
    assert call("async") == Submission("async-output/1.out", "async-failures/1-error.out")
    path, headers, _ = server.requests[0]
    assert path == "/endpoints/endpoint/async-invocations"
    assert headers["x-amzn-sagemaker-content-type"] == "application/json"
    assert headers["x-amzn-sagemaker-inference-id"] == TICKET.inference_id
    assert headers["x-amzn-sagemaker-custom-attributes"] == "model=small"
    assert headers["x-amzn-sagemaker-inputlocation"] == f"s3://{BUCKET}/{TICKET.key('request.json')}"
    assert headers["x-amzn-sagemaker-invocationtimeoutseconds"] == str(DEADLINE_MS.maximum // 1000 + 60)
    assert headers["x-amzn-sagemaker-requestttlseconds"] == str(3600 - 960)


@pytest.mark.parametrize(("ttl_s", "queue_s"), [(100, 60), (10**6, 21_600), (2000.5, 1040)])
def test_the_queue_lifetime_follows_the_job_lifetime(server: Server, ttl_s: float, queue_s: int) -> None:
    AsyncEndpoint("endpoint", "small", BucketStore(BUCKET), ttl_s).submit(TICKET)
    assert server.requests[0][1]["x-amzn-sagemaker-requestttlseconds"] == str(queue_s)


def test_the_parameters_of_a_realtime_call(server: Server) -> None:
    server.fault = Fault(200, body=b"anything")
    assert call("realtime") == b"anything"
    path, headers, body = server.requests[0]
    assert (path, body) == ("/endpoints/endpoint/invocations", b'{"prompt":["a"]}')
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-sagemaker-inference-id"] == TICKET.inference_id
    assert headers["x-amzn-sagemaker-custom-attributes"] == "model=small"


def test_the_runner_is_invoked_without_waiting(server: Server) -> None:
    server.fault = Fault(202)
    assert RealtimeEndpoint("endpoint", "runner").submit(TICKET) == Submission()
    path, headers, body = server.requests[0]
    assert path == "/2015-03-31/functions/runner/invocations"
    assert headers["x-amz-invocation-type"] == "Event"
    assert json.loads(body) == {"owner": TICKET.owner, "id": TICKET.id}


@pytest.mark.parametrize(
    ("kind", "code"),
    [("TooManyRequestsException", "throttled"), ("ResourceNotFoundException", "config_error"), ("X", "upstream_error")],
)
def test_errors_of_the_runner_function(server: Server, kind: str, code: str) -> None:
    server.fault = Fault(429, kind)
    with pytest.raises(EaselError) as failure:
        RealtimeEndpoint("endpoint", "runner").submit(TICKET)
    assert (failure.value.code, len(server.requests)) == (code, 1)


# --- state of the endpoint -----------------------------------------------------------------------

STATES = [
    ("InService", 1, "ready"),
    ("InService", 0, "asleep"),
    ("Updating", 1, "ready"),
    ("SystemUpdating", 0, "asleep"),
    ("RollingBack", 1, "ready"),
    ("Creating", 0, "starting"),
    ("Failed", 0, "broken"),
    ("UpdateRollbackFailed", 1, "broken"),
    ("OutOfService", 0, "broken"),
    ("Deleting", 1, "broken"),
]


def described(status: str, instances: int) -> dict[str, Any]:
    return {"EndpointStatus": status, "ProductionVariants": [{"CurrentInstanceCount": instances}]}


@pytest.mark.parametrize(("status", "instances", "expected"), STATES)
def test_the_state_of_an_endpoint(server: Server, status: str, instances: int, expected: str) -> None:
    server.fault = Fault(200, body=described(status, instances))
    for endpoint in (AsyncEndpoint("e", "small", BucketStore(BUCKET), 3600), RealtimeEndpoint("e", "runner")):
        assert endpoint.state().status == expected
        assert (endpoint.state().wake_minutes is not None) == (expected in ("asleep", "starting"))
        assert endpoint.progress(TICKET) is None


def test_a_missing_endpoint_is_broken(server: Server) -> None:
    server.fault = Fault(
        400, "ValidationException", {"__type": "ValidationException", "message": 'Could not find endpoint "e".'}
    )
    assert EndpointWatcher("e").state().status == "broken"


def test_the_state_is_cached(server: Server) -> None:
    server.fault = Fault(200, body=described("InService", 1))
    now = [0.0]
    watcher = EndpointWatcher("e", lambda: now[0])
    for seconds in (0, 1, 5, 6, 11):
        now[0] = seconds
        watcher.state()
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "code"), [("Creating", "upstream_unavailable"), ("InService", "config_error")])
def test_a_rejected_call_reports_the_state_of_the_endpoint(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: str, code: str
) -> None:
    server.fault = Fault(400, "ValidationError", {"message": "no"})
    with serve() as control:
        control.fault = Fault(200, body=described(status, 1))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", control.url)
        with pytest.raises(EaselError) as failure:
            call("async")
    assert failure.value.code == code
