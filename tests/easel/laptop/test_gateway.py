"""The front door by itself, before workers that are made up."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from easel.laptop.gateway import app as module
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.worker_pool import BusyError, Pool, WorkerDiedError

OK = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": '{"fine": true}'}


class Workers:
    """Answers what it is told to, one after the other, the last one again and again; keeps the events."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.events = list(answers or [OK]), list[Any]()

    async def call(self, event: Any) -> Any:
        self.events.append(event)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    call_and_wait = call


def client(
    workers: Workers, page: Path = Path("/nowhere"), host: str = "127.0.0.1:7860", **more: Any
) -> httpx.AsyncClient:
    gateway = Gateway(
        pool=cast(Pool, workers),
        signer=Signer(b""),
        files=page,
        page=page,
        policy="default-src 'none'",
        welcome="<h1>welcome</h1>",
        **more,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app()), base_url=f"http://{host}")


def send(http: httpx.AsyncClient, method: str = "GET", path: str = "/health", **more: Any) -> httpx.Response:
    async def sending() -> httpx.Response:
        async with http:
            return await http.request(method, path, **more)

    return asyncio.run(sending())


def test_requests_go_to_a_worker_and_answers_come_back() -> None:
    workers = Workers()
    answer = send(client(workers), "POST", "/generate?a=1", content=b"{}")
    assert (answer.status_code, answer.json()) == (200, {"fine": True})
    assert workers.events[0]["path"] == "/generate"
    assert workers.events[0]["body"] == "{}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "[::1]:7860"])
@pytest.mark.parametrize("origin", [None, "http://localhost:5173", "http://127.0.0.1:7860"])
def test_this_machine_may_call(host: str, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    assert send(client(Workers(), host=host), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:7860"}, {"host": "127.0.0.1.evil.example"}, {"host": ""},
     {"host": "[::1"}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost.evil.example"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/generate", "/", "/files/x", "/jobs/x/events"])
def test_other_sites_may_not(headers: dict[str, str], path: str) -> None:
    workers = Workers()
    answer = send(client(workers), "GET", path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert not workers.events


def test_behind_a_key_names_do_not_matter_but_the_key_does() -> None:
    workers = Workers()
    for key, status in (("right", 200), ("wrong", 401), ("", 401)):
        answer = send(client(workers, host="studio.local", key="right", loopback=False), headers={"x-api-key": key})
        assert answer.status_code == status
    assert send(client(workers, host="studio.local", key="right", loopback=False)).json()["code"] == "unauthorized"
    assert send(client(workers, key="right"), path="/jobs/x/events").status_code == 401
    assert len(workers.events) == 1


def test_bodies_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY", 100)
    workers = Workers()
    assert send(client(workers), "POST", "/generate", content=b"x" * 100).status_code == 200
    answer = send(client(workers), "POST", "/generate", content=b"x" * 101)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert len(workers.events) == 1


def test_busy_workers_are_told() -> None:
    answer = send(client(Workers(BusyError())))
    assert (answer.status_code, answer.json()["code"]) == (429, "too_busy")
    assert answer.headers["retry-after"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("broken", [WorkerDiedError(), {"statusCode": "x"}, None])
def test_a_worker_that_fails_is_told_without_detail(broken: Any) -> None:
    answer = send(client(Workers(broken)))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/%0A0", "/jobs/%0A0", "/jobs/x%0Ay"])
def test_a_path_with_a_line_break_leads_nowhere(path: str) -> None:
    answer = send(client(Workers()), "DELETE", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_unknown_methods_are_told() -> None:
    answer = send(client(Workers()), "BREW", "/generate")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_the_page_is_served_when_it_is_built(tmp_path: Path) -> None:
    page = tmp_path / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<h1>page</h1>")
    (page / "assets" / "a.js").write_text("1")
    (tmp_path / "secret").write_text("no")
    assert "page" in send(client(Workers(), page), path="/").text
    script = send(client(Workers(), page), path="/assets/a.js")
    assert (script.text, script.headers["x-content-type-options"]) == ("1", "nosniff")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    entrance = send(client(Workers(), page), path="/").headers
    assert entrance["cache-control"] == "no-cache"
    assert (entrance["content-security-policy"], entrance["x-frame-options"]) == ("default-src 'none'", "DENY")
    for path in ("/../secret", "/assets/%2e%2e/%2e%2e/secret", "/assets", "/%00", "/" + "x" * 5000):
        assert send(client(Workers(), page), path=path).json() == {"fine": True}
    assert send(client(Workers()), path="/").text == "<h1>welcome</h1>"


# --- events --------------------------------------------------------------------------------------


def job(status: str, step: int | None = None) -> dict[str, Any]:
    progress = {"step": step, "steps": 3} if step else None
    return {**OK, "body": json.dumps({"status": status, "progress": progress, "note": "熊猫"})}


def events(workers: Workers) -> tuple[list[dict[str, Any]], str]:
    answer = send(client(workers), path="/jobs/17/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    data = [json.loads(block.removeprefix("data: ")) for block in answer.text.split("\n\n") if block.startswith("data")]
    return data, answer.text


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_every_change_is_told_once_until_the_end() -> None:
    looks = [job("queued"), job("queued"), job("running"), job("running", 1), job("running", 1), job("running", 3)]
    workers = Workers(*looks, BusyError(), job("succeeded"))
    data, _ = events(workers)
    told = [(one["status"], (one["progress"] or {}).get("step")) for one in data]
    assert told == [("queued", None), ("running", None), ("running", 1), ("running", 3), ("succeeded", None)]
    assert {event["path"] for event in workers.events} == {"/jobs/17"}
    assert data[0]["note"] == "熊猫"


@pytest.mark.usefixtures("quick")
def test_silence_is_filled_with_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.0)
    _, text = events(Workers(job("queued"), job("queued"), job("failed")))
    assert ": still here\n\n" in text


def test_no_events_of_a_job_that_is_not_there() -> None:
    missing = {
        "statusCode": 404,
        "headers": {"content-type": "application/problem+json"},
        "body": '{"code": "not_found"}',
    }
    answer = send(client(Workers(missing)), path="/jobs/17/events")
    assert (answer.status_code, answer.json()) == (404, {"code": "not_found"})


async def _leave(workers: Workers) -> int:
    """Looks at the job after the client has left."""
    gateway = Gateway(
        pool=cast(Pool, workers), signer=Signer(b""), files=Path(), page=Path("/no"), policy="", welcome=""
    )
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not workers.events:
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send_away(message: Any) -> None: ...

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/jobs/17/events", "query_string": b"",
        "headers": [(b"host", b"localhost")], "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    serving = asyncio.create_task(cast(Any, gateway.app())(scope, receive, send_away))
    while len(workers.events) < 3:
        await asyncio.sleep(0.01)
    left.set()
    await asyncio.wait_for(serving, 2)
    before = len(workers.events)
    await asyncio.sleep(0.1)
    return len(workers.events) - before


@pytest.mark.usefixtures("quick")
def test_it_stops_looking_when_the_client_leaves() -> None:
    assert asyncio.run(_leave(Workers(job("queued")))) == 0
