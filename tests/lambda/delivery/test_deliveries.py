"""Events of jobs: queued once, delivered at least once, never in the way of the job."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from fakes import PROFILE, World, response_to

import contract
from contract import EaselError
from jobs.announcer import Announcer
from jobs.lifecycle import ANNOUNCE_GRACE_S, link
from jobs.outcomes import JobReporter
from jobs.ports import Ticket
from jobs.records import Record
from jobs.run import run_job
from jobs.webhook import COMPLETED, START, Webhook, delivery_key, read_delivery
from routes.job_views import JobViews, webhook_bodies
from webhooks.delivery import MAX_RETRY_AFTER_SECONDS, PAUSES_SECONDS, Deliverer
from webhooks.sender import Result, Sender
from webhooks.url import Target, UrlRules

OWNER, URL = "0123456789abcdef", "https://hooks.example.com/hook?token=secret"
REQUEST = contract.parse_request('{"prompt": "a red apple", "seed": 7}', PROFILE)
BOTH = Webhook(url=URL, events=(START, COMPLETED))


class FakeSender(Sender):
    """Keeps what is sent. `results` are those of the next attempts; then each succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[Target, dict[str, str], Any]] = []
        self.results: list[Result] = []

    def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Result:
        self.sent.append((target, dict(headers), json.loads(body)))
        return self.results.pop(0) if self.results else Result(200)


class Deliveries(World):
    """The API, and the function that delivers its events."""

    def __init__(self, **options: Any) -> None:
        super().__init__(reports_start=True, **options)
        self.sender = FakeSender()
        self.rules = UrlRules()

    def deliver(self, ticket: Ticket, event: str = COMPLETED) -> float | None:
        deliverer = Deliverer(
            store=self.store,
            sender=self.sender,
            rules=self.rules,
            bodies=webhook_bodies(JobViews(lambda ticket, name: link(self.store, ticket, name), True), (PROFILE,)),
            clock=self.clock,
            telemetry=self.telemetry,  # type: ignore[arg-type]
        )
        return deliverer.deliver(ticket, event)

    def accept(self, webhook: Webhook | None = BOTH, key: str = "") -> Record:
        return self.jobs.accept(OWNER, REQUEST, key, "digest", webhook)

    def run(self, webhook: Webhook | None = BOTH) -> Record:
        """Return a job that has started and ended."""
        record = self.accept(webhook)
        assert self.reporter.start(record.ticket)
        self.clock.time += 3
        self.reporter.finish(record.ticket, response_to(REQUEST))
        return record


@pytest.fixture
def world() -> Deliveries:
    return Deliveries()


def test_a_prediction_is_delivered_in_the_form_of_its_api(world: Deliveries) -> None:
    record = world.run(replace(BOTH, api="replicate"))
    world.deliver(record.ticket)
    ((_, _, body),) = world.sender.sent
    assert (body["id"], body["status"], body["model"]) == (record.ticket.id, "succeeded", f"easel/{PROFILE.id}")
    assert body["output"] == [link(world.store, record.ticket, "image-0.png")]


# --- queueing ------------------------------------------------------------------------------------


def test_start_and_end_are_queued_once(world: Deliveries) -> None:
    ticket = world.run().ticket
    assert world.queue.events == [(ticket, START), (ticket, COMPLETED)]
    world.reporter.finish(ticket, response_to(REQUEST))
    world.reporter.fail(ticket, EaselError("model_error", "late"))
    world.jobs.get(ticket)
    assert len(world.queue.events) == 2


@pytest.mark.parametrize("webhook", [None, replace(BOTH, events=())])
def test_jobs_without_a_webhook_queue_nothing(world: Deliveries, webhook: Webhook | None) -> None:
    ticket = world.run(webhook).ticket
    assert world.queue.events == []
    assert not [key for key in world.store.objects if "webhook" in key]
    assert b"webhook" not in world.store.objects[ticket.key("job.json")] or webhook


def test_only_the_events_of_the_webhook_are_queued(world: Deliveries) -> None:
    ticket = world.run(replace(BOTH, events=(COMPLETED,))).ticket
    assert world.queue.events == [(ticket, COMPLETED)]


def test_failed_cancelled_and_expired_jobs_are_announced(world: Deliveries) -> None:
    failed, cancelled, expired = (world.accept().ticket for _ in range(3))
    world.reporter.fail(failed, EaselError("gpu_out_of_memory", "m"))
    world.jobs.cancel(cancelled)
    world.clock.time += 3601
    assert world.jobs.get(expired).status == "failed"
    assert world.queue.events == [(failed, COMPLETED), (cancelled, COMPLETED), (expired, COMPLETED)]


def test_a_job_that_was_not_accepted_by_the_endpoint_is_announced_as_failed(world: Deliveries) -> None:
    world.endpoint.error = EaselError("throttled", "slow down")
    with pytest.raises(EaselError) as error:
        world.accept()
    assert error.value.code == "throttled"
    ((ticket, event),) = world.queue.events
    assert (world.jobs.get(ticket).status, event) == ("failed", COMPLETED)


def test_a_failing_queue_changes_no_job_and_is_tried_again(world: Deliveries) -> None:
    world.queue.error = EaselError("upstream_error", "the queue failed")
    ticket = world.run().ticket
    assert world.jobs.get(ticket).status == "succeeded"
    assert world.queue.events == []
    assert set(world.telemetry.unqueued_codes) == {"upstream_error"}
    world.queue.error = None
    world.clock.time += ANNOUNCE_GRACE_S
    world.jobs.get(ticket)
    assert world.queue.events == []
    world.clock.time += 1
    world.jobs.get(ticket)
    assert world.queue.events == [(ticket, COMPLETED)]


def test_a_worker_that_cannot_queue_the_end_fails_after_the_outcome(world: Deliveries) -> None:
    """Lambda then calls it again, and the second call queues the event."""
    ticket = world.accept().ticket

    def fail(ticket: Ticket, error: EaselError) -> None:
        raise error

    announcer = Announcer(world.store, world.queue, fail)
    worker = JobReporter(store=world.store, clock=world.clock, announce=announcer.announce)
    world.queue.error = EaselError("upstream_error", "the queue failed")
    assert worker.start(ticket), "a start that cannot be announced does not stop the job"
    with pytest.raises(EaselError):
        worker.finish(ticket, response_to(REQUEST))
    assert world.jobs.get(ticket).status == "succeeded"
    world.queue.error = None
    worker.finish(ticket, response_to(REQUEST))
    assert world.queue.events == [(ticket, COMPLETED)]


def test_a_job_runs_once_whatever_the_queue_does(world: Deliveries) -> None:
    calls: list[Ticket] = []

    class Predictor:
        def predict(self, ticket: Ticket, body: bytes) -> bytes:
            calls.append(ticket)
            assert b"webhook" not in body
            return response_to(REQUEST)

    world.queue.error = EaselError("upstream_error", "the queue failed")
    ticket = world.accept().ticket
    for _ in range(3):
        run_job(ticket, world.reporter, Predictor(), world.clock)
    assert (calls, world.endpoint.submitted) == ([ticket], [ticket])


# --- delivering ----------------------------------------------------------------------------------


def test_an_event_has_its_type_its_time_and_the_job(world: Deliveries) -> None:
    ticket = world.run().ticket
    assert world.deliver(ticket, START) is None
    assert world.deliver(ticket) is None
    (_, _, start), (target, headers, end) = world.sender.sent
    assert (target.host, target.path) == ("hooks.example.com", "/hook?token=secret")
    assert headers["webhook-id"] == f"msg_{ticket.id}_completed"
    assert (start["type"], start["data"]["status"], start["data"]["images"]) == ("job.start", "running", [])
    assert start["timestamp"] == start["data"]["started_at"]
    assert (end["type"], end["data"]["status"], end["data"]["id"]) == ("job.completed", "succeeded", ticket.id)
    assert end["timestamp"] == end["data"]["completed_at"]
    assert [image["url"] for image in end["data"]["images"]] == [
        f"https://files.example/{ticket.key('image-0.png')}?seconds=900"
    ]
    assert "secret" not in json.dumps([start, end])


def test_a_delivery_is_made_once(world: Deliveries) -> None:
    ticket = world.run().ticket
    for _ in range(3):
        assert world.deliver(ticket) is None
    assert len(world.sender.sent) == 1
    assert world.telemetry.webhooks == [(COMPLETED, "delivered")]


def test_failed_attempts_are_repeated_with_growing_pauses_and_the_same_id(world: Deliveries) -> None:
    ticket = world.run().ticket
    world.sender.results = [Result(500, "status")] * 20
    pauses = []
    while (pause := world.deliver(ticket)) is not None:
        pauses.append(pause)
        world.clock.time += pause
    assert all(s <= pause <= 1.1 * s for s, pause in zip(PAUSES_SECONDS, pauses, strict=True))
    assert max(pauses) < 12 * 3600, "SQS hides a message for 12 hours"
    assert len(world.sender.sent) == len(PAUSES_SECONDS) + 1
    ids = {headers["webhook-id"] for _, headers, _ in world.sender.sent}
    timestamps = {headers["webhook-timestamp"] for _, headers, _ in world.sender.sent}
    assert (len(ids), len(timestamps)) == (1, len(world.sender.sent))
    delivery = read_delivery(world.store, ticket, COMPLETED)
    assert delivery and delivery.state == "failed"
    assert world.deliver(ticket) is None
    assert world.jobs.get(ticket).status == "succeeded"


def test_an_attempt_after_failures_ends_them(world: Deliveries) -> None:
    ticket = world.run().ticket
    world.sender.results = [Result(error="timeout")]
    assert world.deliver(ticket) is not None
    assert world.deliver(ticket) is None
    delivery = read_delivery(world.store, ticket, COMPLETED)
    assert delivery and delivery.state == "delivered"
    assert [(attempt.status, attempt.error) for attempt in delivery.attempts] == [(None, "timeout"), (200, "")]


@pytest.mark.parametrize("result", [Result(410, "status", final=True), Result(error="address_not_public", final=True)])
def test_what_would_fail_again_is_not_repeated(world: Deliveries, result: Result) -> None:
    ticket = world.run().ticket
    world.sender.results = [result]
    assert world.deliver(ticket) is None
    assert world.telemetry.webhooks == [(COMPLETED, "failed")]


@pytest.mark.parametrize(("sent", "least"), [(3, 5), (600, 600), (999_999, MAX_RETRY_AFTER_SECONDS)])
def test_retry_after_can_lengthen_a_pause_to_an_hour(world: Deliveries, sent: int, least: int) -> None:
    ticket = world.run().ticket
    world.sender.results = [Result(503, "status", retry_after_s=sent)]
    pause = world.deliver(ticket)
    assert pause is not None and least <= pause <= 1.1 * least


def test_rules_that_have_become_stricter_hold_for_waiting_events(world: Deliveries) -> None:
    ticket = world.run().ticket
    world.rules = UrlRules(public=False)
    assert world.deliver(ticket) is None
    assert world.sender.sent == []


def test_a_deleted_or_damaged_job_needs_no_delivery(world: Deliveries) -> None:
    ticket = world.run().ticket
    world.store.objects[ticket.key("job.json")] = b"{"
    assert world.deliver(ticket) is None
    del world.store.objects[ticket.key("job.json")]
    assert world.deliver(ticket) is None
    assert world.sender.sent == []
    assert len(world.telemetry.ignores) == 2


def test_an_event_that_was_queued_just_before_a_crash_is_delivered_once(world: Deliveries) -> None:
    ticket = world.run().ticket
    del world.store.objects[delivery_key(ticket, COMPLETED)]
    assert world.deliver(ticket) is None
    world.reporter.finish(ticket, response_to(REQUEST))
    assert len(world.queue.events) == 2
    assert world.deliver(ticket) is None
    assert len(world.sender.sent) == 1


def test_a_delivery_that_cannot_be_recorded_is_not_lost(world: Deliveries) -> None:
    ticket = world.run().ticket

    def fail(key: str) -> None:
        if "webhook-" in key:
            raise EaselError("upstream_error", "the store failed")

    world.store.before_write = fail
    with pytest.raises(EaselError):
        world.deliver(ticket)
    world.store.before_write = lambda key: None
    assert world.deliver(ticket) is None
    assert {headers["webhook-id"] for _, headers, _ in world.sender.sent} == {f"msg_{ticket.id}_completed"}


# --- the API -------------------------------------------------------------------------------------


def test_the_job_shows_its_deliveries_and_no_secret(world: Deliveries) -> None:
    status, job = world.call("POST", "/jobs", {"prompt": "x", "webhook": URL, "webhook_events": ["start", "completed"]})
    assert status == 202
    assert job["webhook"] == {
        "url": "https://hooks.example.com/…", "events": ["start", "completed"], "deliveries": []
    }  # fmt: skip
    (ticket,) = world.endpoint.submitted
    world.endpoint.generate(ticket)
    world.jobs.get(ticket)
    world.sender.results = [Result(502, "status")]
    world.deliver(ticket)
    for path in (f"/jobs/{ticket.id}", "/jobs"):
        _, shown = world.call("GET", path)
        shown = shown.get("jobs", [shown])[0]
        (delivery,) = shown["webhook"]["deliveries"]
        assert (delivery["event"], delivery["state"]) == ("completed", "waiting")
        assert [(a["status"], a["error"]) for a in delivery["attempts"]] == [(502, "status")]
        assert "token" not in json.dumps(shown)
    assert "webhook" not in shown["parameters"]
    assert b"webhook" not in world.store.objects[ticket.key("request.json")]


def test_the_webhook_belongs_to_the_request_of_an_idempotency_key(world: Deliveries) -> None:
    headers = {"Idempotency-Key": "click"}
    first = world.call("POST", "/jobs", {"prompt": "x", "seed": 1, "webhook": URL}, headers=headers)
    again = world.call("POST", "/jobs", {"prompt": "x", "seed": 1, "webhook": URL}, headers=headers)
    other = world.call("POST", "/jobs", {"prompt": "x", "seed": 1}, headers=headers)
    assert first[1]["id"] == again[1]["id"]
    assert (other[0], other[1]["code"]) == (409, "idempotency_mismatch")
    assert len(world.endpoint.submitted) == 1


def test_generate_takes_a_webhook_too(world: Deliveries) -> None:
    status, _ = world.call("POST", "/generate", {"prompt": "x", "webhook": URL})
    assert status == 200
    assert [event for _, event in world.queue.events] == [COMPLETED]


@pytest.mark.parametrize("url", ["https://localhost/x?secret", "http://169.254.169.254/secret", "https://a@b.c/secret"])
def test_a_forbidden_url_is_a_400_that_does_not_quote_it(world: Deliveries, url: str) -> None:
    status, problem = world.call("POST", "/jobs", {"prompt": "x", "webhook": url})
    assert (status, problem["code"], problem["invalid_params"][0]["name"]) == (400, "bad_text", "webhook")
    assert "secret" not in json.dumps(problem)
    assert world.store.objects == {}


def test_a_service_without_webhooks_says_so() -> None:
    world = Deliveries(rules=None)
    for method, path, body in (("POST", "/jobs", {"prompt": "x", "webhook": URL}), ("GET", "/webhooks/secret", None)):
        status, problem = world.call(method, path, body)
        assert (status, problem["code"]) == (400, "not_supported")
    assert world.call("POST", "/jobs", {"prompt": "x", "webhook": None})[0] == 202
    assert "webhooks" not in world.call("GET", "/models")[1]["models"][0]["features"]
    schema = world.call("GET", "/openapi.json")[1]["components"]["schemas"]["GenerationRequest"]["properties"]
    assert {"type": "null"} in schema["webhook"]["oneOf"] and False in schema["webhook"]["oneOf"]


def test_the_owner_reads_and_replaces_the_secret(world: Deliveries) -> None:
    _, first = world.call("GET", "/webhooks/secret", key="key-1")
    assert world.call("GET", "/webhooks/secret", key="key-1")[1] == first
    assert world.call("GET", "/webhooks/secret", key="key-2")[1] != first
    _, second = world.call("POST", "/webhooks/secret", key="key-1")
    assert second != first
    assert world.call("GET", "/webhooks/secret", key="key-1")[1] == second


def test_replicates_events_have_native_ones(world: Deliveries) -> None:
    webhooks = world.generations.webhooks
    assert webhooks.supported(["start", "output", "logs", "completed"]) == ["start", "completed"]
    assert webhooks.supported(["output"]) == ["completed"]
    assert webhooks.supported(["logs"]) == []
