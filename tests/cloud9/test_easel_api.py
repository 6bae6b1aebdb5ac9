"""The backend that calls Easel's API, against a server on loopback that speaks as docs/api.md says."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import contract
import easel_api
from backends import STATUS, DrawError, Limits, Order
from easel_api import EaselApi
from tests.cloud9.loopback import Answer, Loopback, answer
from tests.cloud9.pictures import base64_png, png

ORDER = Order("a red apple", 128, 64)
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


def problem(code: str, param: str | None = None) -> Answer:
    fields = [{"name": param, "reason": "r"}] if param else []
    told = {"code": code, "detail": "what it was", "hint": "do that", "invalid_params": fields}
    return answer(told, contract.ERRORS[code].status)


def test_limits_are_the_models(api: EaselApi, loopback: Loopback) -> None:
    loopback.answers["GET /prod/models"] = [answer(MODELS)]
    assert api.limits() == Limits(64, 1024, 8, 2000)


def test_picture(api: EaselApi, loopback: Loopback) -> None:
    loopback.answers["POST /prod/generate"] = [answer(generated(warnings=["drawn at 64x64"]))]
    picture = api.draw(ORDER)
    assert (picture.data, picture.media_type, picture.seed) == (png(128, 64), "image/png", 7)
    assert picture.warnings == ("drawn at 64x64",)
    (asked,) = loopback.seen
    assert json.loads(asked.body) == ORDER.payload()
    assert asked.headers["x-api-key"] == "the-key"
    assert asked.headers["content-type"] == "application/json"


def test_job_is_waited_for_and_its_picture_fetched(api: EaselApi, loopback: Loopback) -> None:
    done = job("succeeded", images=[{"url": "/files/image-0.png?signature=x", "seed": 9}], warnings=["w"])
    loopback.answers = {
        "POST /prod/generate": [answer(job("queued"), 202)],
        "GET /prod/jobs/abc": [answer(job("running")), answer(done)],
        "GET /prod/files/image-0.png?signature=x": [Answer(body=png(128, 64))],
    }
    picture = api.draw(ORDER)
    assert (picture.data, picture.seed, picture.warnings) == (png(128, 64), 9, ("w",))


def test_links_to_another_host_do_not_see_the_key(api: EaselApi, loopback: Loopback) -> None:
    with Loopback() as s3:
        s3.answers["GET /image-0.png?X-Amz-Signature=x"] = [Answer(body=png(128, 64))]
        image = {"url": f"{s3.url}/image-0.png?X-Amz-Signature=x", "seed": 9}
        loopback.answers["POST /prod/generate"] = [answer(generated(generated_images=[], images=[image]))]
        assert api.draw(ORDER).data == png(128, 64)
        assert "x-api-key" not in s3.seen[0].headers


@pytest.mark.parametrize("code", contract.ERRORS)
def test_every_error_of_the_api(api: EaselApi, loopback: Loopback, code: str) -> None:
    loopback.answers["POST /prod/generate"] = [problem(code)]
    with pytest.raises(DrawError) as caught:
        api.draw(ORDER)
    ours = {"unauthorized": "key_refused", "forbidden": "key_refused"}.get(code, code)
    ours = "wrong_address" if code in ("not_found", "method_not_allowed") else ours
    assert caught.value.code == ours
    assert caught.value.status == STATUS.get(ours, contract.ERRORS[code].status)
    assert caught.value.detail == ("what it was do that" if ours == code else "")
    assert len(loopback.seen) == 1


@pytest.mark.parametrize(("param", "field"), [("height", "length"), ("width", "width"), ("prompt", "inputContent")])
def test_the_field_is_called_as_in_the_form(api: EaselApi, loopback: Loopback, param: str, field: str) -> None:
    loopback.answers["POST /prod/generate"] = [problem("out_of_range", param)]
    with pytest.raises(DrawError) as caught:
        api.draw(ORDER)
    assert caught.value.field == field


def test_job_that_fails(api: EaselApi, loopback: Loopback) -> None:
    told = {"code": "gpu_out_of_memory", "status": 503, "message": "too big", "hint": "less", "param": None}
    loopback.answers = {
        "POST /prod/generate": [answer(job("queued"), 202)],
        "GET /prod/jobs/abc": [answer(job("failed", error=told))],
    }
    with pytest.raises(DrawError) as caught:
        api.draw(ORDER)
    assert (caught.value.code, caught.value.status, caught.value.detail) == ("gpu_out_of_memory", 503, "too big less")


def test_waiting_ends(loopback: Loopback) -> None:
    api = EaselApi(loopback.url, wait_seconds=0)
    loopback.answers["POST /generate"] = [answer(job("queued"), 202)]
    with pytest.raises(DrawError, match="model_timeout"):
        api.draw(ORDER)
    api._http.close()


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Answer(200, b"<h1>Apache</h1>"), "wrong_address"),
        (Answer(404, b"Not Found"), "wrong_address"),
        (Answer(200, b"[]"), "wrong_address"),
        (answer({"message": "Forbidden"}, 403), "key_refused"),
        (answer({"message": "Too Many Requests"}, 429), "throttled"),
        (answer({"message": "Missing Authentication Token"}, 404), "wrong_address"),
        (answer(generated(generated_images=["%%%"])), "model_bad_response"),
        (answer(generated(generated_images=["aGVsbG8="])), "model_bad_response"),
        (answer(generated(seeds=[])), "model_bad_response"),
        (answer(job("succeeded")), "model_bad_response"),
        (answer(job("succeeded", error={"oops": 1})), "model_bad_response"),
        (answer(job("succeeded", images=[{"url": "/gone", "seed": 1}])), "upstream_unreachable"),
    ],
)
def test_answers_that_are_not_the_apis(api: EaselApi, loopback: Loopback, found: Answer, code: str) -> None:
    loopback.answers["POST /prod/generate"] = [found]
    with pytest.raises(DrawError, match=code):
        api.draw(ORDER)


@pytest.mark.parametrize("models", [{}, {"models": []}, {"models": [{}]}, {"models": [{"bounds": {"width": 5}}]}])
def test_models_that_are_not_the_apis(api: EaselApi, loopback: Loopback, models: Any) -> None:
    loopback.answers["GET /prod/models"] = [answer(models)]
    with pytest.raises(DrawError, match="wrong_address"):
        api.limits()


def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, loopback: Loopback) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    api = EaselApi(loopback.url)
    loopback.answers["GET /models"] = [answer(MODELS)]
    assert api.limits() == Limits(64, 1024, 8, 2000)
    api._http.close()


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        api = EaselApi(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(DrawError, match="upstream_unreachable"):
            api.limits()
        api._http.close()


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(easel_api, "TIMEOUT", 0.1)
        api = EaselApi(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DrawError, match="model_timeout"):
            api.draw(ORDER)
        api._http.close()
