"""The backend that calls an endpoint by name: the real botocore against a SageMaker and an S3 on loopback."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

import sagemaker_endpoint
from backends import STATUS, DrawError, Order
from cloud9.app import choose_backend
from sagemaker_endpoint import AsyncEndpoint, RealtimeEndpoint
from tests.cloud9.loopback import Answer, Loopback, answer
from tests.cloud9.pictures import base64_png, png

ORDER = Order("a red apple", 128, 64)
REALTIME = "POST /endpoints/easel/invocations"
ASYNC = "POST /endpoints/easel/async-invocations"
OUTPUT, FAILURE = "GET /store/answers/1.out", "GET /store/failures/1-error.out"
GONE = Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {"content-type": "application/xml"})


def drawn() -> dict[str, Any]:
    return {"generated_images": [base64_png(128, 64)], "seeds": [7], "parameters": {}, "timings": {}, "warnings": ["w"]}


def failed(code: str, message: str = "", status: int = 400, **members: Any) -> Answer:
    return answer({"Message": message, "message": message, **members}, status, **{"x-amzn-errortype": code})


@pytest.fixture(autouse=True)
def aws(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", loopback.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr(sagemaker_endpoint, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    made: list[Any] = []
    real = boto3.client

    def client(*arguments: Any, **options: Any) -> Any:
        made.append(real(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(boto3, "client", client)
    yield
    for one in made:
        one.close()


def queued(loopback: Loopback, failure: bool = True) -> None:
    headers = {"x-amzn-sagemaker-outputlocation": "s3://store/answers/1.out"}
    if failure:
        headers["x-amzn-sagemaker-failurelocation"] = "s3://store/failures/1-error.out"
    loopback.answers = {"PUT": [Answer()], ASYNC: [answer({"InferenceId": "1"}, 202, **headers)], "GET": [GONE]}


def test_realtime(loopback: Loopback) -> None:
    loopback.answers[REALTIME] = [answer(drawn())]
    picture = choose_backend({"EASEL_ENDPOINT": "easel"}).draw(ORDER)
    assert (picture.data, picture.seed, picture.warnings) == (png(128, 64), 7, ("w",))
    (asked,) = loopback.seen
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == ORDER.payload()


def test_async(loopback: Loopback) -> None:
    queued(loopback)
    loopback.answers[OUTPUT] = [GONE, GONE, answer(drawn())]
    picture = choose_backend({"EASEL_ENDPOINT": "easel", "EASEL_BUCKET": "store"}).draw(ORDER)
    assert picture.data == png(128, 64)
    put, call = loopback.seen[:2]
    assert json.loads(put.body) == ORDER.payload()
    assert call.headers["x-amzn-sagemaker-inputlocation"] == f"s3:/{put.path}"
    assert call.headers["x-amzn-sagemaker-content-type"] == "application/json"
    assert sum(seen.path.endswith("invocations") for seen in loopback.seen) == 1


def test_async_failure(loopback: Loopback) -> None:
    queued(loopback)
    loopback.answers[FAILURE] = [GONE, Answer(body=b"Worker died.")]
    with pytest.raises(DrawError, match="model_error"):
        AsyncEndpoint("easel", "store").draw(ORDER)


def test_async_without_failure_path(loopback: Loopback) -> None:
    queued(loopback, failure=False)
    loopback.answers[OUTPUT] = [GONE, answer(drawn())]
    assert AsyncEndpoint("easel", "store").draw(ORDER).seed == 7


def test_async_waiting_ends(loopback: Loopback) -> None:
    queued(loopback)
    with pytest.raises(DrawError, match="model_timeout"):
        AsyncEndpoint("easel", "store", wait_seconds=0.05).draw(ORDER)


def test_async_bucket_that_may_not_be_read(loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    queued(loopback)
    body = b"<Error><Code>AccessDenied</Code><Message>arn:role is not authorized: s3:ListBucket</Message></Error>"
    loopback.answers["GET"] = [Answer(403, body)]
    with pytest.raises(DrawError, match="config_error"):
        AsyncEndpoint("easel", "store").draw(ORDER)
    assert "s3:ListBucket" in caplog.text


NOT_FOUND = "Endpoint easel of account 123456789012 not found."
DENIED = "User: arn:aws:sts::123456789012:assumed-role/TeamRole/MasterKey is not authorized"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (failed("ValidationError", NOT_FOUND), "endpoint_missing"),
        (failed("ValidationException", 'Could not find endpoint "easel".'), "endpoint_missing"),
        (failed("ValidationError", "Endpoint easel of account 1 is an asynchronous endpoint"), "wrong_mode"),
        (failed("AccessDeniedException", DENIED, 403), "config_error"),
        (failed("ExpiredTokenException", "expired", 403), "config_error"),
        (failed("ThrottlingException", "Rate exceeded"), "throttled"),
        (failed("ThrottlingException", "Rate exceeded", 429), "throttled"),
        (failed("ModelNotReadyException", "", 429), "model_loading"),
        (failed("ServiceUnavailable", "", 503), "upstream_unreachable"),
        (failed("InternalFailure", "", 500), "upstream_error"),
        (failed("InternalDependencyException", "", 530), "upstream_error"),
        (failed("ModelError", "400 from primary", 424, OriginalStatusCode=400), "model_error"),
        (failed("ModelError", "Your invocation timed out", 424, OriginalStatusCode=0), "model_timeout"),
        (Answer(200, b""), "model_bad_response"),
        (Answer(200, b"<html>"), "model_bad_response"),
        (answer([]), "model_bad_response"),
        (answer({"generated_images": []}), "model_bad_response"),
        (answer({"error": "no"}), "model_bad_response"),
        (Answer(200, b"{", {"content-length": "9"}), "model_timeout"),
    ],
)
def test_failures(loopback: Loopback, caplog: pytest.LogCaptureFixture, found: Answer, code: str) -> None:
    loopback.answers[REALTIME] = [found]
    with pytest.raises(DrawError) as caught:
        RealtimeEndpoint("easel").draw(ORDER)
    assert (caught.value.code, caught.value.status) == (code, STATUS[code])
    assert len(loopback.seen) == 1
    assert "123456789012" not in caught.value.detail
    assert (DENIED in caplog.text) == (DENIED in found.body.decode())


def test_error_as_data(loopback: Loopback) -> None:
    told = {"code": "off_grid", "message": "height 65", "hint": "Send 64.", "param": "height"}
    loopback.answers[REALTIME] = [answer({"error": told})]
    with pytest.raises(DrawError) as caught:
        RealtimeEndpoint("easel").draw(ORDER)
    problem = caught.value
    assert (problem.code, problem.detail, problem.field) == ("off_grid", "height 65 Send 64.", "length")


def test_silence_ends_after_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sagemaker_endpoint, "ONE_ATTEMPT", sagemaker_endpoint.ONE_ATTEMPT.merge(Config(read_timeout=0.2))
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(0.3)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DrawError, match="model_timeout"):
            RealtimeEndpoint("easel").draw(ORDER)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(DrawError, match="upstream_unreachable"):
            RealtimeEndpoint("easel").draw(ORDER)


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(SystemExit, match="AWS_REGION"):
        RealtimeEndpoint("easel")


def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no address")
    with pytest.raises(SystemExit, match=r"no address\. Are AWS_REGION"):
        RealtimeEndpoint("easel")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DrawError, match="config_error"):
        RealtimeEndpoint("easel").draw(ORDER)
    assert "credentials" in caplog.text


def test_no_prompt_is_logged_by_us(loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    loopback.answers[REALTIME] = [answer(drawn())]
    with caplog.at_level(logging.INFO):
        RealtimeEndpoint("easel").draw(ORDER)
    assert "apple" not in caplog.text
