"""The backends that call an endpoint by name: the real botocore against a SageMaker and an S3 on loopback."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

import sagemaker_endpoint
from backends import STATUS, GenerationError, ImageRequest
from cloud9.app import choose_backend
from sagemaker_endpoint import AsyncEndpoint, RealtimeEndpoint
from tests.cloud9.images import base64_png, png
from tests.cloud9.loopback import Loopback, PreparedResponse, json_response

REQUEST = ImageRequest("a red apple", 128, 64)
REALTIME = "POST /endpoints/easel/invocations"
ASYNC = "POST /endpoints/easel/async-invocations"
OUTPUT, FAILURE = "GET /store/answers/1.out", "GET /store/failures/1-error.out"
MISSING = PreparedResponse(404, b"<Error><Code>NoSuchKey</Code></Error>", {"content-type": "application/xml"})


def result() -> dict[str, Any]:
    return {"generated_images": [base64_png(128, 64)], "seeds": [7], "parameters": {}, "timings": {}, "warnings": ["w"]}


def error_response(code: str, message: str = "", status: int = 400, **members: Any) -> PreparedResponse:
    return json_response({"Message": message, "message": message, **members}, status, **{"x-amzn-errortype": code})


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
    clients: list[Any] = []
    create = boto3.client

    def client(*arguments: Any, **options: Any) -> Any:
        clients.append(create(*arguments, **options))
        return clients[-1]

    monkeypatch.setattr(boto3, "client", client)
    yield
    for created in clients:
        created.close()


def accept_request(loopback: Loopback, failure: bool = True) -> None:
    headers = {"x-amzn-sagemaker-outputlocation": "s3://store/answers/1.out"}
    if failure:
        headers["x-amzn-sagemaker-failurelocation"] = "s3://store/failures/1-error.out"
    loopback.responses = {
        "PUT": [PreparedResponse()],
        ASYNC: [json_response({"InferenceId": "1"}, 202, **headers)],
        "GET": [MISSING],
    }


def test_realtime(loopback: Loopback) -> None:
    loopback.responses[REALTIME] = [json_response(result())]
    image = choose_backend({"EASEL_ENDPOINT": "easel"}).generate(REQUEST)
    assert (image.data, image.seed, image.warnings) == (png(128, 64), 7, ("w",))
    (request,) = loopback.requests
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == REQUEST.payload()


def test_async(loopback: Loopback) -> None:
    accept_request(loopback)
    loopback.responses[OUTPUT] = [MISSING, MISSING, json_response(result())]
    image = choose_backend({"EASEL_ENDPOINT": "easel", "EASEL_BUCKET": "store"}).generate(REQUEST)
    assert image.data == png(128, 64)
    put, call = loopback.requests[:2]
    assert json.loads(put.body) == REQUEST.payload()
    assert call.headers["x-amzn-sagemaker-inputlocation"] == f"s3:/{put.path}"
    assert call.headers["x-amzn-sagemaker-content-type"] == "application/json"
    assert sum(request.path.endswith("invocations") for request in loopback.requests) == 1


def test_async_failure(loopback: Loopback) -> None:
    accept_request(loopback)
    loopback.responses[FAILURE] = [MISSING, PreparedResponse(body=b"Worker died.")]
    with pytest.raises(GenerationError, match="model_error"):
        AsyncEndpoint("easel", "store").generate(REQUEST)


def test_async_without_failure_path(loopback: Loopback) -> None:
    accept_request(loopback, failure=False)
    loopback.responses[OUTPUT] = [MISSING, json_response(result())]
    assert AsyncEndpoint("easel", "store").generate(REQUEST).seed == 7


def test_async_waiting_has_a_limit(loopback: Loopback) -> None:
    accept_request(loopback)
    with pytest.raises(GenerationError, match="model_timeout"):
        AsyncEndpoint("easel", "store", wait_seconds=0.05).generate(REQUEST)


def test_async_without_permission_for_the_bucket(loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    accept_request(loopback)
    body = b"<Error><Code>AccessDenied</Code><Message>arn:role is not authorized: s3:ListBucket</Message></Error>"
    loopback.responses["GET"] = [PreparedResponse(403, body)]
    with pytest.raises(GenerationError, match="config_error"):
        AsyncEndpoint("easel", "store").generate(REQUEST)
    assert "s3:ListBucket" in caplog.text


NOT_FOUND = "Endpoint easel of account 123456789012 not found."
DENIED = "User: arn:aws:sts::123456789012:assumed-role/TeamRole/MasterKey is not authorized"


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (error_response("ValidationError", NOT_FOUND), "endpoint_missing"),
        (error_response("ValidationException", 'Could not find endpoint "easel".'), "endpoint_missing"),
        (error_response("ValidationError", "Endpoint easel of account 1 is an asynchronous endpoint"), "wrong_mode"),
        (error_response("AccessDeniedException", DENIED, 403), "config_error"),
        (error_response("ExpiredTokenException", "expired", 403), "config_error"),
        (error_response("ThrottlingException", "Rate exceeded"), "throttled"),
        (error_response("ThrottlingException", "Rate exceeded", 429), "throttled"),
        (error_response("ModelNotReadyException", "", 429), "model_loading"),
        (error_response("ServiceUnavailable", "", 503), "upstream_unreachable"),
        (error_response("InternalFailure", "", 500), "upstream_error"),
        (error_response("InternalDependencyException", "", 530), "upstream_error"),
        (error_response("ModelError", "400 from primary", 424, OriginalStatusCode=400), "model_error"),
        (error_response("ModelError", "Your invocation timed out", 424, OriginalStatusCode=0), "model_timeout"),
        (PreparedResponse(200, b""), "model_bad_response"),
        (PreparedResponse(200, b"<html>"), "model_bad_response"),
        (json_response([]), "model_bad_response"),
        (json_response({"generated_images": []}), "model_bad_response"),
        (json_response({"error": "no"}), "model_bad_response"),
        (PreparedResponse(200, b"{", {"content-length": "9"}), "model_timeout"),
    ],
)
def test_failures(loopback: Loopback, caplog: pytest.LogCaptureFixture, response: PreparedResponse, code: str) -> None:
    loopback.responses[REALTIME] = [response]
    with pytest.raises(GenerationError) as caught:
        RealtimeEndpoint("easel").generate(REQUEST)
    assert (caught.value.code, caught.value.status) == (code, STATUS[code])
    assert len(loopback.requests) == 1
    assert "123456789012" not in caught.value.detail
    assert (DENIED in caplog.text) == (DENIED in response.body.decode())


def test_error_as_data(loopback: Loopback) -> None:
    error = {"code": "not_multiple_of_8", "message": "height 65", "hint": "Send 64.", "param": "height"}
    loopback.responses[REALTIME] = [json_response({"error": error})]
    with pytest.raises(GenerationError) as caught:
        RealtimeEndpoint("easel").generate(REQUEST)
    problem = caught.value
    assert (problem.code, problem.detail, problem.field) == ("not_multiple_of_8", "height 65 Send 64.", "length")


def test_a_silent_endpoint_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sagemaker_endpoint, "ONE_ATTEMPT", sagemaker_endpoint.ONE_ATTEMPT.merge(Config(read_timeout=0.2))
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(0.3)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(GenerationError, match="model_timeout"):
            RealtimeEndpoint("easel").generate(REQUEST)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(GenerationError, match="upstream_unreachable"):
            RealtimeEndpoint("easel").generate(REQUEST)


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(SystemExit, match="AWS_REGION"):
        RealtimeEndpoint("easel")


def test_invalid_endpoint_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no address")
    with pytest.raises(SystemExit, match="no address"):
        RealtimeEndpoint("easel")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(GenerationError, match="config_error"):
        RealtimeEndpoint("easel").generate(REQUEST)
    assert "credentials" in caplog.text


def test_prompts_are_not_logged(loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    loopback.responses[REALTIME] = [json_response(result())]
    with caplog.at_level(logging.INFO):
        RealtimeEndpoint("easel").generate(REQUEST)
    assert "apple" not in caplog.text
