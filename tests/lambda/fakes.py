"""Implementations of `jobs.ports` for tests, and the API built on them."""

import base64
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from threading import Lock
from typing import Any

import contract
from contract import EaselError, GenerationRequest
from gateway.router import Router
from gateway.service import Service
from jobs.accounting import Accounting
from jobs.accounts import Account, Amount, Limits, Month, Refusal
from jobs.announcer import Announcer
from jobs.lifecycle import SUBMIT_GRACE_S, Jobs
from jobs.outcomes import JobReporter
from jobs.ports import EndpointState, Progress, Submission, Ticket
from jobs.records import Outcome, Record
from jobs.webhook import Delivery
from routes.apis import all_apis, render_error
from routes.generations import Generations, Model
from webhooks.offer import Webhooks
from webhooks.url import UrlRules

ROOT = Path(__file__).parent.parent.parent
PROFILE = contract.parse_profile((ROOT / "examples/profile.json").read_text())
PUBLIC_RULES = UrlRules()
UNLIMITED = replace(PROFILE, max_pixel_steps=10**12)
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


class FakeClock:
    """Time advances only by `sleep`, which calls `while_sleeping`. `jump`: seconds by which somebody set the clock."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.jump = 0.0
        self.while_sleeping: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time + self.jump

    def arrival(self) -> float:
        return self.now()

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds
        self.while_sleeping()


class Crash(BaseException):
    """The process dies."""


class MemoryStore:
    """A store in memory. `before_write` is called with each key that is about to change, and may raise."""

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


def models_file(*models: tuple[str, str], text: str | None = None) -> str:
    """Return the path of a file for EASEL_MODELS: of the example's profile with these ids (empty: its own), and of
    these endpoints. `text`: the file's content instead."""
    profile = json.loads((ROOT / "examples/profile.json").read_text())
    entries = [{"profile": profile | ({"id": id} if id else {}), "endpoint": endpoint} for id, endpoint in models]
    content = json.dumps({"models": entries}) if text is None else text
    path = Path(gettempdir()) / f"easel-models-{sha256(content.encode()).hexdigest()[:16]}.json"
    path.write_text(content)
    return str(path)


FLAGGED = "a red rag"
"""The prompt whose images the safety checker of the fake container flags."""


FROM_ORIGIN = "a red flag"
"""The prompt with whose images the fake container sends `ORIGIN`, with a key that only newer APIs know."""
ORIGIN: dict[str, Any] = {
    "revision": "451f4fe16113", "licence": "MIT", "lora_hashes": {"flat": "0123456789ab"},
    "embedding_hashes": {"toy": "ba9876543210"}, "newer": "a",
}  # fmt: skip


def response_to(request: GenerationRequest, size: int = 0) -> bytes:
    """Return the response of a healthy container, with images of the right format and of at least `size` bytes."""
    image = MAGIC[request.output_format] + bytes(size)
    result = contract.GenerationResult(
        generated_images=tuple(base64.b64encode(image + bytes([i])).decode() for i in range(request.image_count)),
        seeds=request.seeds(),
        parameters=json.loads(contract.render_request(contract.without_image(request))),
        timings={"generate_s": 1.0},
        flagged=tuple(prompt == FLAGGED for prompt in request.prompt for _ in range(request.num_images_per_prompt))
        if FLAGGED in request.prompt
        else (),
        origin=ORIGIN if FROM_ORIGIN in request.prompt else {},
    )
    return contract.render_result(result).encode()


class FakeEndpoint:
    """Keeps submitted jobs; `generate` puts their responses into the store. `submit` raises `error` if it is set."""

    reports_start = False
    has_previews = False
    stops_jobs = False

    def __init__(self, store: MemoryStore, profile: contract.ModelProfile = PROFILE) -> None:
        self.store, self.profile = store, profile
        self.submitted: list[Ticket] = []
        self.stopped: list[Ticket] = []
        self.error: EaselError | None = None
        self.image_bytes = 0
        self.known_state = EndpointState("ready")
        self.known_progress: Progress | None = None

    def submit(self, ticket: Ticket) -> Submission:
        if self.error:
            raise self.error
        self.submitted.append(ticket)
        return Submission(self.output_key(ticket), self.failure_key(ticket))

    def progress(self, ticket: Ticket) -> Progress | None:
        return self.known_progress

    def stop(self, ticket: Ticket) -> None:
        self.stopped.append(ticket)

    def state(self) -> EndpointState:
        return self.known_state

    def output_key(self, ticket: Ticket) -> str:
        return f"async-output/{ticket.inference_id}.out"

    def failure_key(self, ticket: Ticket) -> str:
        return f"async-failures/{ticket.inference_id}.out"

    def request(self, ticket: Ticket) -> GenerationRequest:
        profile = replace(
            UNLIMITED,
            id=self.profile.id,
            schedulers=contract.SCHEDULERS,
            loras=self.profile.loras,
            controls=self.profile.controls,
            edits=self.profile.edits,
        )
        return contract.parse_request(self.store.objects[ticket.key("request.json")], profile)

    def generate(self, ticket: Ticket) -> None:
        """Store the response like SageMaker: only if the input still exists."""
        if ticket.key("request.json") in self.store.objects:
            self.store.objects[self.output_key(ticket)] = response_to(self.request(ticket), self.image_bytes)

    def generate_all(self) -> None:
        for ticket in self.submitted:
            if self.output_key(ticket) not in self.store.objects:
                self.generate(ticket)


class FakeWebhookQueue:
    """Keeps events. `put` raises `error` if it is set."""

    def __init__(self) -> None:
        self.events: list[tuple[Ticket, str]] = []
        self.error: EaselError | None = None

    def put(self, ticket: Ticket, event: str) -> None:
        if self.error:
            raise self.error
        self.events.append((ticket, event))


class FakeTelemetry:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.ends: list[tuple[str, str]] = []
        self.crashes: list[BaseException] = []
        self.webhooks: list[tuple[str, str]] = []
        self.ignores: list[str] = []
        self.unqueued_codes: list[str] = []

    def begin(self, request_id: str) -> None:
        self.request_id = request_id

    def request(self, **fields: Any) -> None:
        self.requests.append(fields)

    def accepted(self, record: Record) -> None:
        """Not kept."""

    def ended(self, record: Record, outcome: Outcome) -> None:
        self.ends.append((record.ticket.id, outcome.status))

    def webhook(self, ticket: Ticket, event: str, delivery: Delivery) -> None:
        self.webhooks.append((event, delivery.state))

    def unqueued(self, ticket: Ticket, error: EaselError) -> None:
        self.unqueued_codes.append(error.code)

    def ignored(self, reason: str, inference_id: str = "") -> None:
        self.ignores.append(reason)

    def crashed(self, error: BaseException, request_id: str = "") -> None:
        self.crashes.append(error)


class MemoryLedger:
    """A ledger in memory. `limits`: by owner. `before_settle` may raise."""

    def __init__(self) -> None:
        self.limits: dict[str, Limits] = {}
        self.months: dict[tuple[str, str], Month] = {}
        self.before_settle: Callable[[], None] = lambda: None
        self._lock = Lock()

    def read(self, owner: str, since: str) -> Account:
        months = {name: month for (id, name), month in self.months.items() if id == owner and name >= since}
        return Account(limits=self.limits.get(owner, Limits()), months=months)

    def reserve(self, owner: str, month: str, day: int, job: str, amount: Amount, limits: Limits) -> bool | Refusal:
        with self._lock:
            used = self.months.get((owner, month), Month())
            if job in used.open:
                return False
            if refusal := used.refusal(day, amount, limits):
                return refusal
            self.months[owner, month] = used.reserved(day, job, amount)
            return True

    def settle(self, owner: str, month: str, day: int, job: str, held: Amount, used: Amount, model: str) -> bool:
        self.before_settle()
        with self._lock:
            before = self.months.get((owner, month), Month())
            if before.open.get(job) != held:
                return False
            self.months[owner, month] = before.settled(day, job, used, model)
            return True


class World:
    """The API on fakes. The endpoints generate while the API sleeps, unless a test changes that.

    `endpoint`: that of the default model, `profile`. `others`: further models. `rules` and `reports_start`: those of
    `Webhooks`.
    """

    def __init__(
        self,
        profile: contract.ModelProfile = PROFILE,
        wait_s: float = 25,
        telemetry: Any = None,
        auth: str = "key",
        usd_per_hour: float | None = None,
        rules: UrlRules | None = PUBLIC_RULES,
        reports_start: bool = False,
        others: Sequence[contract.ModelProfile] = (),
        store: MemoryStore | None = None,
    ) -> None:
        self.clock, self.store = FakeClock(), MemoryStore() if store is None else store
        self.telemetry = FakeTelemetry() if telemetry is None else telemetry
        self.endpoint = FakeEndpoint(self.store, profile)
        self._endpoints = [(profile, self.endpoint), *((o, FakeEndpoint(self.store, o)) for o in others)]
        self.endpoints = {item.id: endpoint for item, endpoint in self._endpoints}
        for endpoint in self.endpoints.values():
            endpoint.reports_start = reports_start
        self.clock.while_sleeping = self._generate_all
        self.ledger = MemoryLedger()
        self.accounting = Accounting(self.ledger, self.clock)
        self.queue = FakeWebhookQueue()
        self.announcer = Announcer(self.store, self.queue, self.telemetry.unqueued)
        self.reporter = JobReporter(
            store=self.store,
            clock=self.clock,
            on_end=self._ended,
            announce=self.announcer.announce,
        )
        self.jobs = Jobs(
            store=self.store,
            reporter=self.reporter,
            endpoints={item.id: endpoint for item, endpoint in self._endpoints},
            accounting=self.accounting,
            clock=self.clock,
            ttl_s=3600,
            on_accept=self.telemetry.accepted,
        )
        self.generations = Generations(
            jobs=self.jobs,
            models=[Model(profile=item, usd_per_hour=usd_per_hour) for item, _ in self._endpoints],
            wait_s=wait_s,
            deadline_ms=60_000,
            webhooks=Webhooks(self.store, self.clock.now, rules, reports_start=reports_start),
        )
        self.apis = all_apis(self.generations)
        self.service = Service(
            functools.cache(lambda: Router(self.apis)),
            auth=lambda: auth,
            steady=self.clock.steady,
            now=self.clock.now,
            telemetry=self.telemetry,  # type: ignore[arg-type]
            render_error=render_error,
        )

    def _generate_all(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.generate_all()

    def _ended(self, record: Record, outcome: Outcome) -> None:
        self.telemetry.ended(record, outcome)
        self.accounting.on_end(record, outcome)

    def send(self, event: Any) -> dict[str, Any]:
        """Return the rendered response, after checking that API Gateway and Lambda accept it."""
        response = self.service(event)
        assert set(response) == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert type(response["statusCode"]) is int
        assert type(response["body"]) is str
        assert all(type(name) is str and type(value) is str for name, value in response["headers"].items())
        assert len(json.dumps(response)) <= 6_291_456
        assert response["headers"]["x-request-id"]
        assert response["headers"]["access-control-allow-origin"] == "*"
        assert response["headers"]["x-content-type-options"] == "nosniff"
        return response

    def lose_submission(self, *names: str) -> Ticket:
        """Let the creator of the last job die before it has submitted it, and wait until a reader of the job does it.

        `names`: other objects of the job that are lost. Returns the job's ticket.
        """
        ticket = self.endpoint.submitted.pop()
        for name in ("request.json", "submitted.json", *names):
            self.store.delete(ticket.key(name))
        self.jobs._submissions.clear()  # as in another process
        self.clock.time += SUBMIT_GRACE_S + 1
        return ticket

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Return the status and the parsed body."""
        response = self.send(event(method, path, body, **options))
        return response["statusCode"], json.loads(response["body"] or "null")


def owner_of(key: str) -> str:
    """Return the owner that the authorizer of these tests gives a key."""
    return sha256(key.encode()).hexdigest()[:16]


def event(
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    key: str = "key-1",
) -> dict[str, Any]:
    """Return a REST proxy event as API Gateway sends it."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    return {
        "httpMethod": method,
        "path": path,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()},
        "requestContext": {
            "requestId": "request-1",
            "stage": "prod",
            "authorizer": {"owner": owner_of(key)} if key else {},
        },
        "body": body if isinstance(body, str | None) else json.dumps(body),
        "isBase64Encoded": False,
    }


TABLE = "easel-accounts"


def create_table() -> None:
    """Create an empty table in moto, as stacks/storage/accounts.py defines it."""
    import boto3  # few tests need it

    client, names = boto3.client("dynamodb"), ("owner", "item")
    if TABLE in client.list_tables()["TableNames"]:
        client.delete_table(TableName=TABLE)
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
        ],
    )
