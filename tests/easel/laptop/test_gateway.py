"""The gateway alone, with scripted handlers."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from easel.laptop.gateway import app as module
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.handler_pool import BusyError, HandlerPool

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
    handlers: Handlers, page: Path = Path("/nowhere"), host: str = "127.0.0.1:7860", **options: Any
) -> httpx.AsyncClient:
    gateway = Gateway(
        handlers=cast(HandlerPool, handlers),
        signer=Signer(b""),
        files=page,
        page=page,
        policy="default-src 'none'",
        welcome="<h1>welcome</h1>",
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "[::1]:7860"])
@pytest.mark.parametrize("origin", [None, "http://localhost:5173", "http://127.0.0.1:7860"])
def test_pages_of_this_machine_are_allowed(host: str, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    assert send(client(Handlers(), host=host), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:7860"}, {"host": "127.0.0.1.evil.example"}, {"host": ""},
     {"host": "[::1"}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost.evil.example"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/generate", "/", "/files/x", "/jobs/x/events"])
def test_pages_of_other_sites_are_refused(headers: dict[str, str], path: str) -> None:
    handlers = Handlers()
    response = send(client(handlers), "GET", path, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert not handlers.events


def test_with_a_key_any_host_is_allowed_and_the_key_is_checked() -> None:
    handlers = Handlers()
    for key, status in (("right", 200), ("wrong", 401), ("", 401)):
        response = send(client(handlers, host="studio.local", key="right", loopback=False), headers={"x-api-key": key})
        assert response.status_code == status
    assert send(client(handlers, host="studio.local", key="right", loopback=False)).json()["code"] == "unauthorized"
    assert send(client(handlers, key="right"), path="/jobs/x/events").status_code == 401
    assert len(handlers.events) == 1


def test_bodies_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 100)
    handlers = Handlers()
    assert send(client(handlers), "POST", "/generate", content=b"x" * 100).status_code == 200
    response = send(client(handlers), "POST", "/generate", content=b"x" * 101)
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert len(handlers.events) == 1


def test_busy_handlers_are_too_busy() -> None:
    response = send(client(Handlers(BusyError())))
    assert (response.status_code, response.json()["code"]) == (429, "too_busy")
    assert response.headers["retry-after"]
    assert response.headers["content-type"] == "application/problem+json"


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
        handlers=cast(HandlerPool, handlers), signer=Signer(b""), files=Path(), page=Path("/no"), policy="", welcome=""
    )
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
    await asyncio.wait_for(serving, 2)
    before = len(handlers.events)
    await asyncio.sleep(0.1)
    return len(handlers.events) - before


@pytest.mark.usefixtures("fast_polls")
def test_polling_stops_when_the_client_disconnects() -> None:
    assert asyncio.run(_polls_after_disconnect(Handlers(job("queued")))) == 0
