"""`from easel.client import Easel, AsyncEasel`: results, progress, retries and errors, with asyncio and without."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import easel.client as public
from contract import REQUEST_FIELDS, WEBHOOK_FIELDS
from easel.client import (
    ApiError,
    AsyncEasel,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    Easel,
    EaselError,
    InvalidResponseError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    Progress,
    RateLimitError,
    RequestFields,
    ServerError,
    UsageError,
    WaitTimeoutError,
)
from easel.client import api as client
from easel.client.steps import MAX_RETRY_AFTER, Pause, Response, Send, api_error, send
from easel.console.printable import UNPRINTABLE
from tests.easel.client.fake_api import DONE, FILES, ID, FakeApi, Received, job
from tests.easel.running import ROOT, Laptop, free_port

Api = type[FakeApi]
CallClient = Callable[[Callable[[Any], Any]], Any]

PROBLEM = {"title": "Title", "detail": "detail", "hint": "hint", "code": "out_of_range", "retryable": False}
JPEG = b"\xff\xd8\xffpreview"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EASEL_URL", "EASEL_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(client, "MIN_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client, "SUBMIT_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(client, "POLL_PAUSES", (0.01,))


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, api: Api) -> CallClient:
    """CallClient a function with a client of the fake API, and return its result."""

    def with_sync(function: Callable[[Any], Any]) -> Any:
        with Easel(api.url) as easel:
            return function(easel)

    def with_async(function: Callable[[Any], Any]) -> Any:
        async def main() -> Any:
            async with AsyncEasel(api.url) as easel:
                return await function(easel)

        return asyncio.run(main())

    return with_sync if request.param == "sync" else with_async


def create(call: CallClient, **fields: Any) -> Any:
    return call(lambda easel: easel.jobs.create("a", **fields))


def posts(api: Api) -> list[Received]:
    return [request for request in api.received if request.method == "POST"]


# --- results -------------------------------------------------------------------------------------


def test_the_example_of_the_readme(laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EASEL_URL", laptop.url)
    exec(example, {})
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")


def test_a_generation(api: Api, call: CallClient, tmp_path: Path) -> None:
    generation = call(lambda easel: easel.generate(["a", "b"], seed=7, width=512, extra={"newer": 1}))
    assert posts(api)[0].body == {"prompt": ["a", "b"], "seed": 7, "width": 512, "newer": 1}
    assert (generation.job_id, generation.seeds, generation.warnings) == (ID, (7, 8), ("Upscaled.",))
    assert [image.data for image in generation.images] == [*FILES]
    assert [image.prompt for image in generation.images] == ["a red apple", "Ein Bär & 熊猫!"]
    assert generation.parameters["num_images_per_prompt"] == 1
    assert generation.timings == {"generate_s": 1.5}
    path = generation.images[1].save(tmp_path / "new" / "b.jpeg")
    assert path.read_bytes() == FILES[1]
    with pytest.raises(UsageError, match="image/png"):
        generation.images[0].save(tmp_path / "a.jpg")
    assert generation.images[0]._repr_mimebundle_() == {"image/png": FILES[0]}


def test_every_request_field_is_an_argument() -> None:
    assert {"prompt", *RequestFields.__annotations__} == {*REQUEST_FIELDS, *WEBHOOK_FIELDS}
    with pytest.raises(TypeError, match="extra="):
        Easel().generate("a", stepz=3)  # type: ignore[call-arg]


def test_initial_images_are_bytes_paths_or_images(api: Api, call: CallClient, tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * (8).to_bytes(4, "big")
    (tmp_path / "start.png").write_bytes(png)
    image = public.Image(png, 7, 8, 8, "image/png", "a")
    sources = [png, str(tmp_path / "start.png"), tmp_path / "start.png", image]
    for source in sources:
        create(call, init_image=source, strength=0.5)
    assert [request.body["init_image"] for request in posts(api)] == [base64.b64encode(png).decode()] * 4
    create(call, images=sources)
    assert posts(api)[-1].body["images"] == [base64.b64encode(png).decode()] * 4
    for bad in (b"no image", tmp_path / "missing.png", tmp_path, "\0"):
        with pytest.raises(UsageError):
            create(call, init_image=bad)
        with pytest.raises(UsageError, match=r"images\[1\]"):
            create(call, images=[png, bad])
    assert len(posts(api)) == 5


def test_models_health_and_jobs_of_a_running_service(laptop: Laptop) -> None:
    with Easel(laptop.url) as easel:
        model, health = easel.models()[0], easel.health()
        job = easel.jobs.create("slow 1")
        generation = job.wait(60)
        assert generation.images[0].pil().format == "PNG"
        assert generation.job_id in [found.id for found in easel.jobs.list(5)]
        assert easel.jobs.wait(job.id).job_id == job.id
        assert easel.jobs.get(job.id).created_at.endswith("Z")
        with pytest.raises(ConflictError) as caught:
            easel.jobs.cancel(job.id)
    assert (model.id, health.status, health.model) == ("emoji", "ok", "emoji")
    assert (model.sizes[0].width, "png" in model.formats, "preview" in model.features) == (128, True, True)
    assert (caught.value.code, job.ended) == ("job_finished", True)
    assert "succeeded" in repr(job)


def test_the_url_and_the_key_of_the_environment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_URL", f"{api.url}/")
    monkeypatch.setenv("EASEL_KEY", "secret")
    with Easel() as easel, Easel(api_key="") as without:
        assert easel.base_url == api.url
        easel.jobs.get(ID)
        without.jobs.get(ID)
    assert [request.headers.get("x-api-key") for request in api.received] == ["secret", None]


# --- progress ------------------------------------------------------------------------------------

STATES = [
    job("queued", "Queued."),
    job("queued", "Queued."),
    {**job("running", "Running."), "progress": {"step": 3, "steps": 20, "preview": base64.b64encode(JPEG).decode()}},
    {**job("running", "Running."), "progress": {"step": 9, "steps": 20, "preview": "no JPEG"}},
]
EVENTS = [
    Progress("queued", "Queued.", None, None, None),
    Progress("running", "Running.", 3, 20, JPEG),
    Progress("running", "Running.", 9, 20, None),
]


def test_progress(api: Api) -> None:
    api.jobs[:] = [*STATES, DONE]
    with Easel(api.url) as easel:
        job = easel.jobs.create("a")
        assert list(job.progress()) == EVENTS
        assert (job.status, job.wait().seeds) == ("succeeded", (7, 8))


def test_progress_with_asyncio(api: Api) -> None:
    async def main() -> None:
        async with AsyncEasel(api.url) as easel:
            job = await easel.jobs.create("a")
            assert [event async for event in job.progress()] == EVENTS
            assert (job.status, (await job.wait()).seeds) == ("succeeded", (7, 8))

    api.jobs[:] = [*STATES, DONE]
    asyncio.run(main())


def test_a_wait_ends_and_the_job_goes_on(api: Api, call: CallClient) -> None:
    api.jobs[:] = [job("running")]
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError) as caught:
        call(lambda easel: easel.generate("a", timeout=0.2))
    assert 0.1 < time.monotonic() - began < 60
    assert (caught.value.job_id, caught.value.retryable) == (ID, True)
    assert isinstance(caught.value, TimeoutError)
    assert not [request for request in api.received if request.method == "DELETE"]
    api.jobs[:] = [DONE]
    assert call(lambda easel: easel.jobs.wait(caught.value.job_id)).job_id == ID


def test_ctrl_c_and_a_cancelled_task_cancel_the_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.jobs[:] = [job("running")]

    async def main() -> None:
        async with AsyncEasel(api.url) as easel:
            task = asyncio.create_task(easel.generate("a"))
            while len(api.received) < 3:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    with Easel(api.url) as easel:
        monkeypatch.setattr(public.Job, "progress", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            easel.generate("a")
    deleted = [request.path for request in api.received if request.method == "DELETE"]
    assert deleted == [f"/jobs/{ID}"] * 2


def test_a_task_that_is_cancelled_while_it_creates_a_job_cancels_the_job(api: Api) -> None:
    submit, started, cancelled = api.do_POST, threading.Event(), threading.Event()

    def slow(self: FakeApi) -> None:
        started.set()
        cancelled.wait(60)
        submit(self)

    async def main() -> None:
        async with AsyncEasel(api.url) as easel:
            task = asyncio.create_task(easel.generate("a"))
            await asyncio.to_thread(started.wait)
            task.cancel()
            cancelled.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    api.do_POST = slow  # type: ignore[method-assign]
    asyncio.run(main())
    assert [request.method for request in api.received] == ["POST", "DELETE"]


# --- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "body", "requests"),
    [
        (429, {}, {}, 3),
        (503, {}, {"retryable": True}, 3),
        (504, {}, {}, 3),
        (408, {}, {}, 3),
        (503, {}, {"retryable": False}, 1),
        (504, {"x-should-retry": "false"}, {}, 1),
        (429, {"x-should-retry": "false"}, {"retryable": True}, 1),
        (500, {}, {}, 1),
        (400, {}, {"retryable": True}, 1),
        (409, {"x-should-retry": "true"}, {}, 3),
        (429, {"retry-after": "0"}, {}, 3),
        (429, {"retry-after": f"{MAX_RETRY_AFTER:.0f}1"}, {}, 1),
        (429, {"retry-after": "Sun, 01 Nov 2020 10:00:00 +0000"}, {}, 3),
        (429, {"retry-after": "Sun, 01 Nov 2099 10:00:00 GMT"}, {}, 1),
        (429, {"retry-after": "soon"}, {}, 3),
    ],
    ids=str,
)
def test_a_refused_request_is_sent_again_only_if_that_may_help(
    status: int, headers: dict[str, str], body: dict[str, Any], requests: int
) -> None:
    steps = send(Send("POST", "http://127.0.0.1/jobs", 9, 9), (1, 3))
    response, sent = Response("", status, "", json.dumps(body).encode(), headers), 0
    with pytest.raises(ApiError) as caught:
        step = next(steps)
        while True:
            if isinstance(step, Send):
                sent += 1
                step = steps.send(response)
            else:
                step = next(steps)
    assert sent == requests
    assert caught.value.retryable == (requests == 3 or "retry-after" in headers)


@pytest.mark.parametrize(("headers", "least", "most"), [({}, 0.8, 1.2), ({"retry-after": "7"}, 7, 7)])
def test_retry_after_is_the_pause(headers: dict[str, str], least: float, most: float) -> None:
    steps = send(Send("POST", "http://127.0.0.1/jobs", 9, 9), (1,))
    next(steps)
    pause = steps.send(Response("", 429, "", b"{}", headers))
    assert isinstance(pause, Pause)
    assert least <= pause.seconds <= most


def test_a_busy_service_gets_the_same_job_again(api: Api, call: CallClient) -> None:
    api.submitted, api.more_headers = (429, {}), {"retry-after": "0"}
    with pytest.raises(RateLimitError) as caught:
        call(lambda easel: easel.generate("a"))
    keys = [request.headers["idempotency-key"] for request in posts(api)]
    assert (len(keys), len(set(keys)), caught.value.retry_after) == (3, 1, 0)


def test_a_response_that_is_lost_creates_no_second_job(
    api: Api, call: CallClient, laptop: Laptop, request: pytest.FixtureRequest
) -> None:
    """Requests reach a running service, but the first two responses with a job do not come back."""

    def forward(self: FakeApi) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        response = laptop.http.request(self.command, self.path, content=body, headers=headers)
        self.keep(None)
        if self.command == "POST" and len(posts(api)) < 3:
            self.close_connection = True
        else:
            self.send(response.status_code, response.content)

    api.do_POST = api.do_GET = forward  # type: ignore[method-assign]
    prompt = f"lost in {request.node.name}"
    generation = call(lambda easel: easel.generate(prompt, seed=5))
    assert len(posts(api)) == 3
    jobs = laptop.http.get("/jobs").json()["jobs"]
    assert [job["id"] for job in jobs if job["parameters"]["prompt"] == [prompt]] == [generation.job_id]


def test_each_call_has_its_own_key_unless_it_is_given(api: Api, call: CallClient) -> None:
    for key in (None, None, "mine"):
        create(call, idempotency_key=key)
    first, second, given = (request.headers["idempotency-key"] for request in posts(api))
    assert (first != second, given) == (True, "mine")
    for bad in ("x" * 256, " x", "é"):
        with pytest.raises(UsageError):
            create(call, idempotency_key=bad)
    create(call, idempotency_key="x" * 255)
    assert len(posts(api)) == 4


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError), (401, AuthenticationError), (403, AuthenticationError), (404, NotFoundError),
        (409, ConflictError), (413, BadRequestError), (422, BadRequestError), (429, RateLimitError),
        (500, ServerError), (503, ServerError), (302, BadRequestError),
    ],
)  # fmt: skip
def test_errors_by_status(status: int, kind: type[ApiError]) -> None:
    assert type(api_error(Response("", status, "", b"{}"))) is kind


def test_an_error_of_the_api(api: Api, call: CallClient) -> None:
    api.submitted = (400, {**PROBLEM, "request_id": "r-1", "invalid_params": [{"name": "width", "reason": "x"}]})
    with pytest.raises(BadRequestError) as caught:
        call(lambda easel: easel.generate("a"))
    error = caught.value
    assert (error.status, error.code, error.param, error.request_id) == (400, "out_of_range", "width", "r-1")
    assert (error.title, error.detail, error.hint, error.retryable) == ("Title", "detail", "hint", False)
    assert f"{api.url}/jobs · width" in str(error)


def test_errors_of_a_job(api: Api, call: CallClient) -> None:
    fault = {"code": "nan_output", "message": "m", "hint": "h", "status": 500, "param": "seed"}
    api.jobs[:] = [job("failed", error=fault)]
    with pytest.raises(JobFailedError) as failed:
        call(lambda easel: easel.generate("a"))
    error = failed.value
    assert (error.job_id, error.code, error.detail, error.hint) == (ID, "nan_output", "m", "h")
    assert (error.status, error.param) == (500, "seed")
    api.jobs[:] = [job("cancelled", "Cancelled.")]
    with pytest.raises(JobCancelledError):
        call(lambda easel: easel.generate("a"))


def test_no_service(call: CallClient) -> None:
    with (
        pytest.raises(ConnectionFailedError, match="base_url") as caught,
        Easel(f"http://127.0.0.1:{free_port()}") as easel,
    ):
        easel.jobs.create("a")
    assert (caught.value.retryable, caught.value.status) == (True, None)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("localhost:7860", None), ("http://[::1", None), ("ftp://127.0.0.1", None), ("http://me:hunter2@a.b", None),
        ("http://127.0.0.1:abc", None), ("http://a..b", None), (None, "é"), (None, "k\r"), (None, "k\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [Easel, AsyncEasel])
def test_arguments_that_cannot_be_sent(kind: Callable[..., Any], url: str | None, key: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        kind(url, key)
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("id", ["", "../health", "F" * 44, "f" * 43, "f" * 45, "f" * 44 + "\n"])
@pytest.mark.parametrize("method", ["get", "cancel", "wait"])
def test_an_id_is_no_path(method: str, id: str) -> None:
    with pytest.raises(UsageError):
        getattr(Easel().jobs, method)(id)


def test_a_key_without_https_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="HTTPS"):
        Easel("http://192.0.2.1", "secret")


@pytest.mark.parametrize(
    "function",
    [
        lambda easel: easel.generate("a"),
        lambda easel: easel.jobs.list(),
        lambda easel: easel.models(),
        lambda easel: easel.health(),
    ],
    ids=["generate", "list", "models", "health"],
)
@pytest.mark.parametrize("body", [[], {}, {"jobs": 1, "models": 1}, {"jobs": [{}], "models": []}, "\x1b[31m"], ids=str)
def test_other_json_is_not_taken_for_a_response(
    api: Api, call: CallClient, body: Any, function: Callable[[Any], Any]
) -> None:
    api.submitted, api.jobs[:] = (202, body), [body]
    with pytest.raises(InvalidResponseError) as caught:
        call(function)
    assert api.url in caught.value.where


def test_a_response_that_is_too_large_or_too_slow(api: Api, call: CallClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "JSON_BYTES", len(b'{"retryable": 1}'))
    api.submitted = (200, {"retryable": 12})
    with pytest.raises(InvalidResponseError, match="larger"):
        call(lambda easel: easel.generate("a"))
    monkeypatch.setattr(client, "RESPONSE_SECONDS", 0.2)

    def drip(self: FakeApi) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with suppress(OSError):
            for _ in range(1000):
                self.wfile.write(b" ")
                time.sleep(0.05)

    api.do_POST = drip  # type: ignore[method-assign]
    with pytest.raises(InvalidResponseError, match="longer"):
        call(lambda easel: easel.generate("a"))


def test_the_text_of_an_error_is_printable(api: Api, call: CallClient) -> None:
    escape = "\x1b]0;title\x07\u202e"
    fields = dict.fromkeys((*PROBLEM, "request_id"), escape)
    api.submitted = (400, {**fields, "invalid_params": [{"name": escape}]})
    with pytest.raises(EaselError) as caught:
        call(lambda easel: easel.generate("a"))
    assert not UNPRINTABLE.search(str(caught.value))
    assert caught.value.detail == escape


def test_every_public_name_has_a_docstring() -> None:
    for name in public.__all__:
        assert getattr(public, name).__doc__ or name == "ImageSource", name
    for kind in (Easel, AsyncEasel, public.Job, type(Easel().jobs)):
        methods = {name: value for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}
        assert [name for name, value in methods.items() if not value.__doc__] == []
