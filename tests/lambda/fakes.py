"""Adapters for tests, of equal standing with the cloud's and the laptop's."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import contract
from contract import EaselError, GenerationRequest
from gateway.service import Router, Service
from jobs.lifecycle import Jobs
from jobs.ports import EndpointState, Progress, Submission, Ticket
from jobs.records import Outcome, Record
from routes.native import Native

ROOT = Path(__file__).parent.parent.parent
PROFILE = contract.parse_profile((ROOT / "examples/profile.json").read_text())
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


class FakeClock:
    """Time passes only by `sleep`; `while_sleeping` is what the world does meanwhile."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.while_sleeping: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds
        self.while_sleeping()


class Crash(BaseException):
    """The process is gone."""


class MemoryStore:
    """A store that can break: `before_write` sees every key that is about to change."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.media_types: dict[str, str] = {}
        self.before_write: Callable[[str], None] = lambda key: None
        self._lock = Lock()

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def create(self, key: str, body: bytes) -> bool:
        self.before_write(key)
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = body
            return True

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        self.before_write(key)
        self.objects[key] = body
        self.media_types[key] = media_type

    def delete(self, key: str) -> None:
        self.before_write(key)
        self.objects.pop(key, None)

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        names = {key[len(prefix) :].partition("/")[0] for key in self.objects if key.startswith(prefix)}
        return sorted(names)[:limit]

    def link(self, key: str, seconds: int) -> str:
        return f"https://files.example/{key}?seconds={seconds}"


def answer_to(request: GenerationRequest, size: int = 0) -> bytes:
    """What a healthy container sends: pictures of the right kind, of `size` bytes at least."""
    image = MAGIC[request.output_format] + bytes(size)
    result = contract.GenerationResult(
        generated_images=tuple(base64.b64encode(image + bytes([i])).decode() for i in range(request.images)),
        seeds=request.seeds(),
        parameters=json.loads(contract.render_request(contract.without_picture(request))),
        timings={"draw_s": 1.0},
    )
    return contract.render_result(result).encode()


class FakeEndpoint:
    """Keeps what was submitted; `draw` puts the answers where the submission said. `refusal` is raised instead."""

    tells_start = False
    shows_preview = False

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.submitted: list[Ticket] = []
        self.refusal: EaselError | None = None
        self.image_bytes = 0
        self.known_state = EndpointState("ready")
        self.known_progress: Progress | None = None

    def submit(self, ticket: Ticket) -> Submission:
        if self.refusal:
            raise self.refusal
        self.submitted.append(ticket)
        return Submission(self.answer_key(ticket), f"failures/{ticket.inference_id}.out")

    def progress(self, ticket: Ticket) -> Progress | None:
        return self.known_progress

    def state(self) -> EndpointState:
        return self.known_state

    def answer_key(self, ticket: Ticket) -> str:
        return f"answers/{ticket.inference_id}.out"

    def request(self, ticket: Ticket) -> GenerationRequest:
        return contract.parse_request(self.store.objects[ticket.key("request.json")], WIDE)

    def draw(self, ticket: Ticket) -> None:
        """Answers as SageMaker would: not where the input is gone."""
        if ticket.key("request.json") in self.store.objects:
            self.store.objects[self.answer_key(ticket)] = answer_to(self.request(ticket), self.image_bytes)

    def draw_all(self) -> None:
        for ticket in self.submitted:
            if self.answer_key(ticket) not in self.store.objects:
                self.draw(ticket)


WIDE = replace(PROFILE, budget=10**12)


class Silence:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.ends: list[tuple[str, str]] = []
        self.crashes: list[BaseException] = []

    def begin(self, request_id: str) -> None:
        self.began = request_id

    def request(self, **facts: Any) -> None:
        self.requests.append(facts)

    def ended(self, record: Record, outcome: Outcome) -> None:
        self.ends.append((record.ticket.id, outcome.status))

    def crashed(self, error: BaseException, request_id: str = "") -> None:
        self.crashes.append(error)


class World:
    """The API on fakes. The endpoint draws while the API sleeps, unless told otherwise."""

    def __init__(self, profile: contract.ModelProfile = PROFILE, wait_s: float = 25) -> None:
        self.clock, self.store, self.telemetry = FakeClock(), MemoryStore(), Silence()
        self.endpoint = FakeEndpoint(self.store)
        self.clock.while_sleeping = self.endpoint.draw_all
        self.jobs = Jobs(
            store=self.store, endpoint=self.endpoint, clock=self.clock, ttl_s=3600, on_end=self.telemetry.ended
        )
        router = Router([Native(jobs=self.jobs, profile=profile, wait_s=wait_s, deadline_ms=60_000)])
        self.service = Service(lambda: router, self.clock.now, self.telemetry)  # type: ignore[arg-type]

    def send(self, event: Any) -> dict[str, Any]:
        """The answer, checked against what API Gateway and Lambda accept."""
        answer = self.service(event)
        assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert type(answer["statusCode"]) is int
        assert type(answer["body"]) is str
        assert all(type(name) is str and type(value) is str for name, value in answer["headers"].items())
        assert len(json.dumps(answer)) <= 6_291_456
        assert answer["headers"]["x-request-id"]
        assert answer["headers"]["access-control-allow-origin"] == "*"
        assert answer["headers"]["x-content-type-options"] == "nosniff"
        return answer

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        answer = self.send(event(method, path, body, **options))
        return answer["statusCode"], json.loads(answer["body"] or "null")


def event(
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    key: str = "key-1",
) -> dict[str, Any]:
    """A REST proxy event, as API Gateway sends it."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    return {
        "httpMethod": method,
        "path": path,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()},
        "requestContext": {"requestId": "request-1", "stage": "prod", "identity": {"apiKeyId": key}},
        "body": body if isinstance(body, str | None) else json.dumps(body),
        "isBase64Encoded": False,
    }
