"""The backend that calls Easel's API, against a server on loopback with responses as docs/reference/api.md has them."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import contract
import easel_api
from backends import STATUS, GenerationError, ImageRequest, Limits
from cloud9.app import choose_backend
from easel_api import EaselApi
from tests.cloud9.images import base64_png, png
from tests.cloud9.loopback import Loopback, PreparedResponse, json_response

REQUEST = ImageRequest("a red apple", 128, 64)
MODELS = {
    "models": [
        {
            "bounds": {
                "width": {"minimum": 64, "maximum": 1024},
                "height": {"minimum": 64, "maximum": 1024},
                "side_multiple": 8,
                "prompt_chars": {"minimum": 1, "maximum": 2000},
            }
        }
    ]
}


ERROR = {"code": "x", "message": "m", "hint": "h", "param": ""}


@pytest.fixture
def api(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[EaselApi]:
    monkeypatch.setattr(easel_api, "POLL_SECONDS", 0.01)
    client = EaselApi(f"{loopback.url}/prod", "the-key")
    yield client
    client._http.close()


def generated(**values: Any) -> dict[str, Any]:
    return {"id": "1", "generated_images": [base64_png(128, 64)], "seeds": [7], "images": [], "warnings": [], **values}


def job(status: str, **values: Any) -> dict[str, Any]:
    return {"id": "abc", "status": status, "images": [], "error": None, "warnings": [], **values}


def problem(code: str, param: str | None = None) -> PreparedResponse:
    fields = [{"name": param, "reason": "r"}] if param else []
    document = {"code": code, "detail": "the reason", "hint": "the remedy", "invalid_params": fields}
    return json_response(document, contract.ERRORS[code].status)


def test_limits_are_the_models(api: EaselApi, loopback: Loopback) -> None:
    loopback.responses["GET /prod/models"] = [json_response(MODELS)]
    assert api.limits() == Limits(64, 1024, 8, 2000)


def test_image_in_the_response(api: EaselApi, loopback: Loopback) -> None:
    loopback.responses["POST /prod/generate"] = [json_response(generated(warnings=["a warning"]))]
    image = api.generate(REQUEST)
    assert (image.data, image.media_type, image.seed) == (png(128, 64), "image/png", 7)
    assert image.warnings == ("a warning",)
    (request,) = loopback.requests
    assert json.loads(request.body) == REQUEST.payload()
    assert request.headers["x-api-key"] == "the-key"
    assert request.headers["content-type"] == "application/json"


def test_waits_for_a_job_and_downloads_its_image(api: EaselApi, loopback: Loopback) -> None:
    finished = job("succeeded", images=[{"url": "/files/image-0.png?signature=x", "seed": 9}], warnings=["w"])
    loopback.responses = {
        "POST /prod/generate": [json_response(job("queued"), 202)],
        "GET /prod/jobs/abc": [json_response(job("running")), json_response(finished)],
        "GET /prod/files/image-0.png?signature=x": [PreparedResponse(body=png(128, 64))],
    }
    image = api.generate(REQUEST)
    assert (image.data, image.seed, image.warnings) == (png(128, 64), 9, ("w",))


def test_the_key_is_not_sent_to_another_host(api: EaselApi, loopback: Loopback) -> None:
    with Loopback() as s3:
        s3.responses["GET /image-0.png?X-Amz-Signature=x"] = [PreparedResponse(body=png(128, 64))]
        image = {"url": f"{s3.url}/image-0.png?X-Amz-Signature=x", "seed": 9}
        loopback.responses["POST /prod/generate"] = [json_response(generated(generated_images=[], images=[image]))]
        assert api.generate(REQUEST).data == png(128, 64)
        assert "x-api-key" not in s3.requests[0].headers


@pytest.mark.parametrize("code", contract.ERRORS)
def test_every_error_of_the_api(api: EaselApi, loopback: Loopback, code: str) -> None:
    loopback.responses["POST /prod/generate"] = [problem(code)]
    with pytest.raises(GenerationError) as caught:
        api.generate(REQUEST)
    refused, wrong = ("unauthorized", "forbidden"), ("not_found", "method_not_allowed")
    expected = "key_refused" if code in refused else "wrong_address" if code in wrong else code
    assert caught.value.code == expected
    assert caught.value.status == STATUS.get(expected, contract.ERRORS[code].status)
    assert caught.value.detail == ("the reason the remedy" if expected == code else "")
    assert len(loopback.requests) == 1


@pytest.mark.parametrize(("param", "field"), [("height", "length"), ("width", "width"), ("prompt", "inputContent")])
def test_the_error_has_the_field_of_the_form(api: EaselApi, loopback: Loopback, param: str, field: str) -> None:
    loopback.responses["POST /prod/generate"] = [problem("out_of_range", param)]
    with pytest.raises(GenerationError) as caught:
        api.generate(REQUEST)
    assert caught.value.field == field


def test_failed_job(api: EaselApi, loopback: Loopback) -> None:
    error = {"code": "gpu_out_of_memory", "status": 503, "message": "too big", "hint": "less", "param": None}
    loopback.responses = {
        "POST /prod/generate": [json_response(job("queued"), 202)],
        "GET /prod/jobs/abc": [json_response(job("failed", error=error))],
    }
    with pytest.raises(GenerationError) as caught:
        api.generate(REQUEST)
    assert (caught.value.code, caught.value.status, caught.value.detail) == ("gpu_out_of_memory", 503, "too big less")


def test_waiting_has_a_limit(loopback: Loopback) -> None:
    api = EaselApi(loopback.url, wait_seconds=0)
    loopback.responses["POST /generate"] = [json_response(job("queued"), 202)]
    with pytest.raises(GenerationError, match="model_timeout"):
        api.generate(REQUEST)
    api._http.close()


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (PreparedResponse(200, b"<h1>Apache</h1>"), "wrong_address"),
        (PreparedResponse(404, b"Not Found"), "wrong_address"),
        (PreparedResponse(200, b"[]"), "wrong_address"),
        (json_response({"message": "Forbidden"}, 403), "key_refused"),
        (json_response({"message": "Too Many Requests"}, 429), "throttled"),
        (json_response({"message": "Missing Authentication Token"}, 404), "wrong_address"),
        (json_response(generated(generated_images=["%%%"])), "model_bad_response"),
        (json_response(generated(generated_images=["aGVsbG8="])), "model_bad_response"),
        (json_response(generated(seeds=[])), "model_bad_response"),
        (json_response(job("succeeded")), "model_bad_response"),
        (json_response(job("succeeded", error={"oops": 1})), "model_bad_response"),
        (
            json_response(job("failed", error={"code": [], "message": "", "hint": "", "param": ""})),
            "model_bad_response",
        ),
        (
            json_response(job("failed", error={"code": "x", "message": "", "hint": "", "param": "", "status": 99})),
            "model_bad_response",
        ),
        (json_response({"status": "queued"}), "wrong_address"),
        (json_response(generated(warnings=None)), "model_bad_response"),
        (json_response(generated(seeds=["9" * 5000])), "model_bad_response"),
        (json_response({"code": "new", "invalid_params": 7}, 400), "new"),
        (json_response({"code": "new", "invalid_params": [7, {"name": []}]}, 400), "new"),
        (PreparedResponse(200, b"[" * 100_000), "wrong_address"),
        (PreparedResponse(200, b"{", {"content-length": "9"}), "upstream_unreachable"),
        (json_response(job("succeeded", images=[{"url": "/gone", "seed": 1}])), "upstream_unreachable"),
    ],
)
def test_responses_that_are_not_the_apis(
    api: EaselApi, loopback: Loopback, response: PreparedResponse, code: str
) -> None:
    loopback.responses["POST /prod/generate"] = [response]
    with pytest.raises(GenerationError, match=code):
        api.generate(REQUEST)


TEXTS = {"width": {"minimum": "64", "maximum": "1"}, "side_multiple": "8", "prompt_chars": {"maximum": "9"}}


@pytest.mark.parametrize(
    "models",
    [{}, {"models": []}, {"models": [{}]}, {"models": [{"bounds": {"width": 5}}]}, {"models": [{"bounds": TEXTS}]}],
)
def test_models_that_are_not_the_apis(api: EaselApi, loopback: Loopback, models: Any) -> None:
    loopback.responses["GET /prod/models"] = [json_response(models)]
    with pytest.raises(GenerationError, match="wrong_address"):
        api.limits()


def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch, loopback: Loopback) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    api = EaselApi(loopback.url)
    loopback.responses["GET /models"] = [json_response(MODELS)]
    assert api.limits() == Limits(64, 1024, 8, 2000)
    api._http.close()


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        api = EaselApi(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(GenerationError, match="upstream_unreachable"):
            api.limits()
        api._http.close()


def test_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(easel_api, "TIMEOUT", 0.1)
        api = EaselApi(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(GenerationError, match="model_timeout"):
            api.generate(REQUEST)
        api._http.close()


@pytest.mark.parametrize("drop", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 9])
def test_a_server_that_drips_times_out(monkeypatch: pytest.MonkeyPatch, drop: bytes) -> None:
    """Each byte comes in time, the response never ends."""
    monkeypatch.setattr(easel_api, "RESPONSE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection, suppress(OSError):
                for _ in range(100):
                    connection.sendall(drop[:38])
                    time.sleep(0.05)

        threading.Thread(target=serve, daemon=True).start()
        api = EaselApi(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(GenerationError, match="model_timeout"):
            api.generate(REQUEST)
        api._http.close()


def test_a_response_has_a_limit(api: EaselApi, loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(easel_api, "RESPONSE_BYTES", 1000)
    loopback.responses["POST /prod/generate"] = [PreparedResponse(200, b'"%s"' % (b"x" * 2000))]
    with pytest.raises(GenerationError, match="wrong_address"):
        api.generate(REQUEST)


@pytest.mark.timeout(120)
def test_certificates_that_are_a_pipe_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ca.pem"
    os.mkfifo(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(SystemExit, match="SSL_CERT_FILE"):
        choose_backend({"EASEL_URL": "https://easel.example"})
    EaselApi("http://127.0.0.1:9")._http.close()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(SystemExit, match="AWS_CA_BUNDLE"):
        choose_backend({"EASEL_ENDPOINT": "e"})


@pytest.mark.parametrize("process", ["", "echo []", "echo null", "echo hello", "/nonexistent/x", "'"])
def test_a_broken_credential_process_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    (tmp_path / "config").write_text(f"[profile p]\nregion = us-east-1\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "p")
    with pytest.raises(SystemExit, match="AWS_PROFILE"):
        choose_backend({"EASEL_ENDPOINT": "e"})
