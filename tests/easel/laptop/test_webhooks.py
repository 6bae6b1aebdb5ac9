"""`easel up --webhooks`: signed events reach a receiver on this machine, and nothing else does without permission."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from easel.console.errors import CommandError
from easel.laptop.storage.webhook_queue import FolderWebhookQueue
from easel.laptop.webhook_rules import parse_rules
from jobs.ports import Ticket
from tests.easel.running import Laptop, wait_for

TICKET, OTHER = (Ticket("0123456789abcdef", digit * 44) for digit in "01")


@dataclass
class Receiver:
    """Keeps what was received. `status`: of its responses."""

    port: int = 0
    status: int = 204
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Write no log."""

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with ThreadingHTTPServer(("127.0.0.1", 0), receiver.handler()) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@pytest.mark.laptop
def test_a_receiver_gets_signed_events_with_links_that_work(tmp_path: Path, receiver: Receiver) -> None:
    with Laptop(tmp_path / "data", "--webhooks", receiver.origin) as laptop:
        id = laptop.submit(webhook=f"{receiver.origin}/hook?token=secret", webhook_events=["start", "completed"])
        wait_for(lambda: len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 2)
        key = laptop.http.get("/webhooks/secret").json()["key"]
        events = {}
        for path, headers, body in receiver.received:
            assert path == "/hook?token=secret"
            event = Webhook(key).verify(body.decode(), headers)
            events[event["type"]] = event["data"]
        assert {name: data["id"] for name, data in events.items()} == {"job.start": id, "job.completed": id}
        (image,) = events["job.completed"]["images"]
        assert laptop.http.get(image["url"]).content.startswith(b"\x89PNG")
        deliveries = wait_for(lambda: _states(laptop, id) == ["delivered"] * 2 and laptop.job(id)["webhook"])
        assert deliveries["url"] == f"{receiver.origin}/…"
        assert "token" not in (tmp_path / "data" / "api.log").read_text()
        for url in ("http://127.0.0.1:1/", "https://example.com/", f"{receiver.origin}.example.com/"):
            response = laptop.http.post("/jobs", json={"prompt": "x", "webhook": url})
            assert (response.status_code, response.json()["code"]) == (400, "bad_text")


def _states(laptop: Laptop, id: str) -> list[str]:
    return [delivery["state"] for delivery in laptop.job(id)["webhook"]["deliveries"]]


@pytest.mark.laptop
def test_an_event_that_waits_is_delivered_after_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 503
    with Laptop(tmp_path / "data", "--webhooks", receiver.origin) as laptop:
        id = laptop.submit(webhook=f"{receiver.origin}/hook")
        wait_for(lambda: receiver.received and _states(laptop, id) == ["waiting"])
        wait_for(lambda: laptop.job(id)["webhook"]["deliveries"][0]["attempts"])
        assert laptop.job(id)["status"] == "succeeded"
        laptop.stop(signal.SIGKILL)
        before, receiver.status = len(receiver.received), 200
        laptop.start()
        laptop.wait_until_ready()
        wait_for(lambda: _states(laptop, id) == ["delivered"])
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert len(receiver.received) == before + 1


def test_without_permission_no_webhook_is_accepted(laptop: Laptop) -> None:
    response = laptop.http.post("/jobs", json={"prompt": "x", "webhook": "https://example.com/"})
    assert (response.status_code, response.json()["code"]) == (400, "not_supported")
    assert "webhooks" not in laptop.http.get("/models").json()["models"][0]["features"]
    assert not (laptop.data / "webhooks").exists()


def test_rules_are_public_or_origins() -> None:
    assert parse_rules(()) is None
    rules = parse_rules(("public",))
    assert rules and rules.public and not rules.origins
    rules = parse_rules(("http://127.0.0.1:9000/", "https://intranet.example.com"))
    assert rules and not rules.public
    assert rules.origins == {"http://127.0.0.1:9000", "https://intranet.example.com:443"}


@pytest.mark.parametrize("value", ["", "private", "127.0.0.1:9000", "http://127.0.0.1:9000/hook", "*"])
def test_other_rules_are_usage_errors(value: str) -> None:
    with pytest.raises(CommandError) as error:
        parse_rules((value,))
    assert error.value.code == 2


def test_the_queue_survives_a_restart(tmp_path: Path) -> None:
    queue = FolderWebhookQueue(tmp_path)
    queue.put(TICKET, "completed")
    queue.put(TICKET, "completed")
    (tmp_path / "a file manager's").touch()
    again = FolderWebhookQueue(tmp_path)
    assert again.take() == (TICKET, "completed")
    again.remove((TICKET, "completed"))
    assert [file.name for file in tmp_path.iterdir()] == ["a file manager's"]


def test_an_event_is_taken_by_one_thread_and_again_when_it_is_due(tmp_path: Path) -> None:
    queue, taken = FolderWebhookQueue(tmp_path), []
    for ticket in (TICKET, OTHER):
        queue.put(ticket, "completed")
    first, second = queue.take(), queue.take()
    assert {first, second} == {(TICKET, "completed"), (OTHER, "completed")}
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.keep(first, 3600)
    thread.join(0.05)
    assert taken == []
    queue.keep(second, 0)
    thread.join(60)
    assert taken == [second]
