"""The gateway alone, with scripted handlers."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from contract import BODY_BYTES
from easel.laptop.gateway import app as module
from easel.laptop.gateway.access import Access
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.handler_pool import BusyError, HandlerPool
from easel.laptop.storage.accounts import AccountFolder

OK = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": '{"fine": true}'}


class Handlers:
    """Returns or raises `outputs`, one after another, and repeats the last. Keeps the events."""

    def __init__(self, *outputs: Any) -> None:
        self.outputs, self.events = list(outputs or [OK]), list[Any]()

    async def call(self, event: Any) -> Any:
        self.events.append(event)
        output = self.outputs.pop(0) if len(self.outputs) > 1 else self.outputs[0]
        if isinstance(output, Exception):
            raise output
        return output

    call_and_wait = call


def client(
    handlers: Handlers,
    page: Path = Path("/nowhere"),
    host: str = "127.0.0.1:7860",
    key: str | None = None,
    **options: Any,
) -> httpx.AsyncClient:
    gateway = Gateway(
        handlers=cast(HandlerPool, handlers),
        signer=Signer(b""),
        files=page,
        page=page,
        policy="default-src 'none'",
        welcome="<h1>welcome</h1>",
        access=Access(key, AccountFolder(page / "accounts")),
        **options,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app()), base_url=f"http://{host}")


def send(http: httpx.AsyncClient, method: str = "GET", path: str = "/health", **options: Any) -> httpx.Response:
    async def sending() -> httpx.Response:
        async with http:
            return await http.request(method, path, **options)

    return asyncio.run(sending())


def test_requests_go_to_a_handler_and_its_output_comes_back() -> None:
    handlers = Handlers()
    response = send(client(handlers), "POST", "/generate?a=1", content=b"{}")
    assert (response.status_code, response.json()) == (200, {"fine": True})
    assert handlers.events[0]["path"] == "/generate"
    assert handlers.events[0]["body"] == "{}"


def test_with_a_key_any_host_is_allowed_and_the_key_is_checked() -> None:
    handlers = Handlers()
    for key, status in (("right", 200), ("wrong", 401), ("", 401)):
        response = send(client(handlers, host="studio.local", key="right", loopback=False), headers={"x-api-key": key})
        assert response.status_code == status
    assert send(client(handlers, host="studio.local", key="right", loopback=False)).json()["code"] == "unauthorized"
    assert send(client(handlers, key="right"), path="/jobs/x/events").status_code == 401
    assert len(handlers.events) == 1


def test_bodies_are_limited() -> None:
    handlers, limit = Handlers(), BODY_BYTES.maximum
    assert send(client(handlers), "POST", "/generate", content=b"x" * limit).status_code == 200
    response = send(client(handlers), "POST", "/generate", content=b"x" * (limit + 1))
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert len(handlers.events) == 1


def test_busy_handlers_are_too_busy() -> None:
    response = send(client(Handlers(BusyError(17))))
    assert (response.status_code, response.json()["code"]) == (429, "too_busy")
    assert (response.headers["retry-after"], response.json()["retry_after_s"]) == ("17", 17)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/hf/text-to-image", lambda body: body["error"]),
        ("/v1/images/generations", lambda body: body["error"]["message"]),
        ("/v1/predictions", lambda body: body["detail"]),
        ("/sdapi/v1/txt2img", lambda body: body["detail"]),
        ("/generate", lambda body: body["detail"]),
    ],
)
def test_the_gateways_own_errors_have_the_form_of_the_api_at_their_path(path: str, text: Callable[[Any], Any]) -> None:
    large = send(client(Handlers()), "POST", path, content=b"x" * (BODY_BYTES.maximum + 1))
    busy = send(client(Handlers(BusyError(17))), "POST", path, content=b"{}")
    foreign = send(client(Handlers()), "POST", path, content=b"{}", headers={"origin": "https://evil.example"})
    keyless = send(client(Handlers(), key="right"), "POST", path, content=b"{}")
    responses = {"too large": large, "requests are running": busy, "evil.example": foreign, "key": keyless}
    assert [response.status_code for response in responses.values()] == [413, 429, 403, 401]
    for part, response in responses.items():
        assert part in text(response.json())
    assert busy.headers["retry-after"] == "17"


@pytest.mark.parametrize("output", [{"statusCode": "x"}, None])
def test_malformed_output_is_an_internal_error(output: Any) -> None:
    response = send(client(Handlers(output)))
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "Traceback" not in response.text


@pytest.mark.parametrize("path", ["/%0A0", "/jobs/%0A0", "/jobs/x%0Ay"])
def test_a_path_with_a_line_break_is_not_found(path: str) -> None:
    response = send(client(Handlers()), "DELETE", path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_unknown_methods_are_refused() -> None:
    response = send(client(Handlers()), "BREW", "/generate")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_the_page_is_served_after_it_is_built(tmp_path: Path) -> None:
    page = tmp_path / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<h1>page</h1>")
    (page / "assets" / "a.js").write_text("1")
    (tmp_path / "secret").write_text("no")
    assert "page" in send(client(Handlers(), page), path="/").text
    script = send(client(Handlers(), page), path="/assets/a.js")
    assert (script.text, script.headers["x-content-type-options"]) == ("1", "nosniff")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    index = send(client(Handlers(), page), path="/").headers
    assert index["cache-control"] == "no-cache"
    assert (index["content-security-policy"], index["x-frame-options"]) == ("default-src 'none'", "DENY")
    for path in ("/../secret", "/assets/%2e%2e/%2e%2e/secret", "/assets", "/%00", "/" + "x" * 5000):
        assert send(client(Handlers(), page), path=path).json() == {"fine": True}
    assert send(client(Handlers()), path="/").text == "<h1>welcome</h1>"


@pytest.mark.parametrize("built", [True, False])
def test_head_of_the_page_has_no_body(tmp_path: Path, built: bool) -> None:
    if built:
        (tmp_path / "index.html").write_text("<h1>page</h1>")
    response = send(client(Handlers(), tmp_path), "HEAD", "/")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_the_page_is_sent_again_only_after_a_change(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>page</h1>")
    first = send(client(Handlers(), tmp_path), path="/")
    for condition in ("if-none-match", "if-modified-since"):
        value = first.headers["etag" if condition == "if-none-match" else "last-modified"]
        response = send(client(Handlers(), tmp_path), path="/", headers={condition: value})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", first.headers["etag"])
    (tmp_path / "index.html").write_text("<h1>new page</h1>")
    changed = send(client(Handlers(), tmp_path), path="/", headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.text) == (200, "<h1>new page</h1>")


@pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"prompt": "a"}', gzip.compress(b"{}", mtime=0), b"\xff\xfe{"])
def test_the_api_gets_the_body_as_it_was_sent(body: bytes) -> None:
    handlers = Handlers()
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    send(client(handlers), "POST", "/jobs", content=body, headers=headers)
    event = handlers.events[0]
    sent = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    assert (sent, event["headers"]["content-encoding"]) == (body, "gzip")


# --- events --------------------------------------------------------------------------------------


def job(status: str, step: int | None = None) -> dict[str, Any]:
    progress = {"step": step, "steps": 3} if step else None
    return {**OK, "body": json.dumps({"status": status, "progress": progress, "note": "熊猫"})}


def events(handlers: Handlers) -> tuple[list[dict[str, Any]], str]:
    response = send(client(handlers), path="/jobs/17/events")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = response.text.split("\n\n")
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block.startswith("data")], response.text


@pytest.fixture
def fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


@pytest.mark.usefixtures("fast_polls")
def test_every_change_is_one_event_until_the_job_ends() -> None:
    states = [job("queued"), job("queued"), job("running"), job("running", 1), job("running", 1), job("running", 3)]
    handlers = Handlers(*states, BusyError(), job("succeeded"))
    data, _ = events(handlers)
    changes = [(state["status"], (state["progress"] or {}).get("step")) for state in data]
    assert changes == [("queued", None), ("running", None), ("running", 1), ("running", 3), ("succeeded", None)]
    assert {event["path"] for event in handlers.events} == {"/jobs/17"}
    assert data[0]["note"] == "熊猫"


@pytest.mark.usefixtures("fast_polls")
def test_heartbeats_are_sent_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.0)
    _, text = events(Handlers(job("queued"), job("queued"), job("failed")))
    assert "\n\n: " in text


def test_head_of_events_does_not_wait_for_the_end() -> None:
    response = send(client(Handlers(job("running"))), "HEAD", "/jobs/17/events")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_events_of_a_missing_job_are_not_found() -> None:
    missing = {
        "statusCode": 404,
        "headers": {"content-type": "application/problem+json"},
        "body": '{"code": "not_found"}',
    }
    response = send(client(Handlers(missing)), path="/jobs/17/events")
    assert (response.status_code, response.json()) == (404, {"code": "not_found"})


async def _polls_after_disconnect(handlers: Handlers) -> int:
    gateway = Gateway(
        handlers=cast(HandlerPool, handlers), signer=Signer(b""), files=Path(), page=Path("/no"), policy="", welcome="",
        access=Access(None, AccountFolder(Path("/no"))),
    )  # fmt: skip
    disconnected = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not handlers.events:
            return {"type": "http.request", "body": b"", "more_body": False}
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def discard(message: Any) -> None: ...

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/jobs/17/events", "query_string": b"",
        "headers": [(b"host", b"localhost")], "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    serving = asyncio.create_task(cast(Any, gateway.app())(scope, receive, discard))
    while len(handlers.events) < 3:
        await asyncio.sleep(0.01)
    disconnected.set()
    await asyncio.wait_for(serving, 60)
    before = len(handlers.events)
    await asyncio.sleep(0.1)
    return len(handlers.events) - before


@pytest.mark.usefixtures("fast_polls")
def test_polling_stops_when_the_client_disconnects() -> None:
    assert asyncio.run(_polls_after_disconnect(Handlers(job("queued")))) == 0
