"""Every job gets one outcome, whatever happens in whatever order."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from fakes import MAGIC, PROFILE, Crash, MemoryStore, World, response_to
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

import contract
from contract import EaselError
from jobs.lifecycle import SUBMIT_GRACE_S
from jobs.ports import Submission, Ticket
from jobs.records import Outcome, Record, new_ticket, read_outcome, read_record
from jobs.run import run_job

REQUEST = contract.parse_request('{"prompt": "a red apple", "seed": 7}', PROFILE)
OWNER = "0123456789abcdef"


@pytest.fixture
def world() -> World:
    return World()


def accept(world: World, key: str = "", digest: str = "d") -> Record:
    return world.jobs.accept(OWNER, REQUEST, key, digest)


def test_records_and_outcomes_survive_a_round_trip() -> None:
    ticket, store = new_ticket(OWNER, 1_800_000_000.5), MemoryStore()
    record = Record(ticket=ticket, created_at=1_800_000_000.5, steady_at=7.5, request=REQUEST)
    outcome = Outcome.failed(EaselError("nan_output", "m", hint="h", param="p"), 5.5)
    store.objects = {ticket.key("job.json"): record.to_json(), ticket.key("outcome.json"): outcome.to_json()}
    assert read_record(store, ticket) == record
    assert read_outcome(store, ticket) == outcome
    assert Ticket.parse(ticket.inference_id) == ticket
    assert ticket.created_at == record.created_at
    assert len(ticket.inference_id) == 61


@pytest.mark.parametrize("text", ["", "a-b", f"{OWNER}-{'0' * 43}", f"{OWNER}-{'0' * 44}\n", f"{OWNER}-{'G' * 44}"])
def test_other_texts_are_not_inference_ids(text: str) -> None:
    assert Ticket.parse(text) is None


def test_later_jobs_are_listed_first(world: World) -> None:
    created = []
    for _ in range(5):
        created.append(accept(world).ticket)
        world.clock.time += 0.01
    assert [job.ticket for job in world.jobs.recent(OWNER, 3)] == created[:1:-1]
    assert world.jobs.recent("f" * 16, 3) == []


def test_fifty_requests_with_the_same_key_submit_once(world: World) -> None:
    with ThreadPoolExecutor(50) as pool:
        records = list(pool.map(lambda _: accept(world, "click"), range(50)))
    assert len(world.endpoint.submitted) == 1
    assert {record.ticket for record in records} == set(world.endpoint.submitted)


def test_a_key_with_another_request_is_an_error(world: World) -> None:
    accept(world, "click", "first")
    with pytest.raises(EaselError) as error:
        accept(world, "click", "second")
    assert error.value.code == "idempotency_mismatch"
    assert len(world.endpoint.submitted) == 1


def test_the_same_key_of_two_owners_is_two_jobs(world: World) -> None:
    world.jobs.accept("a" * 16, REQUEST, "click", "first")
    world.jobs.accept("b" * 16, REQUEST, "click", "second")
    assert len(world.endpoint.submitted) == 2


def test_a_failed_submission_ends_the_job_and_frees_the_key(world: World) -> None:
    world.endpoint.error = EaselError("throttled", "slow down")
    with pytest.raises(EaselError) as error:
        accept(world, "click")
    assert error.value.code == "throttled"
    assert [job.status for job in world.jobs.recent(OWNER, 5)] == ["failed"]
    world.endpoint.error = None
    accept(world, "click")
    assert len(world.endpoint.submitted) == 1


def test_a_submission_with_unknown_result_is_not_repeated_by_the_same_key(world: World) -> None:
    world.endpoint.error = EaselError("upstream_closed", "closed")
    with pytest.raises(EaselError) as error:
        accept(world, "click")
    assert error.value.code == "upstream_closed"
    world.endpoint.error = None
    record = accept(world, "click")
    assert world.endpoint.submitted == []
    world.endpoint.generate(record.ticket)
    world.reporter.finish(record.ticket, response_to(REQUEST))
    assert world.jobs.get(record.ticket).status == "succeeded"


class CrashingWorld(World):
    """A world whose process crash just before its nth write, or just after it called the endpoint."""

    def __init__(self, writes: int, after_submit: bool = False) -> None:
        super().__init__()
        self.left = writes
        self.store.before_write = self._count
        submit = self.endpoint.submit

        def dying_submit(ticket: Ticket) -> Submission:
            submission = submit(ticket)
            if after_submit and len(self.endpoint.submitted) == 1:
                raise Crash
            return submission

        self.endpoint.submit = dying_submit  # type: ignore[method-assign]

    def _count(self, key: str) -> None:
        self.left -= 1
        if self.left == -1:
            raise Crash


WRITES = 6
"""Writes of a job: key, record, request, submission, image, outcome."""


@pytest.mark.parametrize(("writes", "after_submit"), [*((n, False) for n in range(WRITES)), (WRITES + 99, True)])
def test_a_crash_before_any_write_neither_loses_nor_repeats_a_job(writes: int, after_submit: bool) -> None:
    """The caller retries with the same key. There is one job and one outcome; it is submitted twice only if the process
    died between the submission and its record."""
    world = CrashingWorld(writes, after_submit)
    died = False
    for _ in range(4):
        try:
            record = accept(world, "click")
            world.endpoint.generate_all()
            world.jobs.get(record.ticket)
        except Crash:
            died = True
        world.clock.time += SUBMIT_GRACE_S + 1
    assert died
    assert [job.status for job in world.jobs.recent(OWNER, 9)] == ["succeeded"]
    assert [status for _, status in world.telemetry.ends] == ["succeeded"]
    unrecorded = after_submit or writes == 3
    assert len(world.endpoint.submitted) == 1 + unrecorded
    assert len(set(world.endpoint.submitted)) == 1


def test_a_read_submits_a_job_whose_creator_died(world: World) -> None:
    world.endpoint.submit = _die  # type: ignore[method-assign]
    with pytest.raises(Crash):
        accept(world)
    del world.endpoint.submit
    world.clock.time += SUBMIT_GRACE_S - 1
    assert world.jobs.recent(OWNER, 1)[0].status == "queued"
    assert world.endpoint.submitted == []
    world.clock.time += 2
    for _ in range(3):
        world.jobs.recent(OWNER, 1)
    assert len(world.endpoint.submitted) == 1


def test_a_submission_that_another_thread_forgot_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.jobs, "_remember", lambda ticket, submission: None)
    record = accept(world)
    world.clock.time += SUBMIT_GRACE_S + 1
    world.jobs.get(record.ticket)
    assert len(world.endpoint.submitted) == 1


def test_a_job_is_submitted_twice_at_most(world: World) -> None:
    submissions = []

    def submit_and_die(ticket: Ticket) -> Submission:
        submissions.append(ticket)
        raise Crash

    world.endpoint.submit = submit_and_die  # type: ignore[method-assign]
    actions: list[Callable[[], object]] = [lambda: accept(world), *[lambda: world.jobs.recent(OWNER, 1)] * 5]
    for action in actions:
        with suppress(Crash):
            action()
        world.clock.time += SUBMIT_GRACE_S + 1
    assert len(submissions) == 2


def _die(ticket: Ticket) -> Submission:
    raise Crash


def test_a_read_finds_an_output_without_an_sns_message(world: World) -> None:
    record = accept(world)
    world.endpoint.generate(record.ticket)
    job = world.jobs.get(record.ticket)
    assert job.outcome
    assert [image.seed for image in job.outcome.images] == [7]
    assert world.jobs.image(record.ticket, "image-0.png") == MAGIC["png"] + b"\0"
    assert world.store.media_types[record.ticket.key("image-0.png")] == "image/png"


def test_a_read_finds_a_failure_without_an_sns_message(world: World) -> None:
    record = accept(world)
    world.store.objects[world.endpoint.failure_key(record.ticket)] = b"CUDA out of memory"
    outcome = world.jobs.get(record.ticket).outcome
    assert outcome
    assert outcome.error
    assert outcome.error["code"] == "gpu_out_of_memory"


def test_a_job_without_a_response_expires(world: World) -> None:
    record = accept(world)
    world.clock.time += 3600
    assert world.jobs.get(record.ticket).status == "queued"
    world.clock.time += 1
    job = world.jobs.get(record.ticket)
    assert job.outcome
    assert job.outcome.error
    assert job.outcome.error["code"] == "job_expired"
    world.endpoint.generate(record.ticket)
    assert world.reporter.finish(record.ticket, response_to(REQUEST)).status == "failed"


def test_wait_ends_when_the_job_ends(world: World) -> None:
    job = world.jobs.wait(accept(world), world.clock.now() + 25)
    assert job.status == "succeeded"


def test_wait_ends_in_time_and_backs_off(world: World) -> None:
    began, slept = world.clock.now(), []
    world.clock.while_sleeping = lambda: slept.append(world.clock.now() - began)
    job = world.jobs.wait(accept(world), began + 2)
    assert job.status == "queued"
    assert slept == pytest.approx([0.1, 0.3, 0.6, 1.1, 1.6, 2.0])


def test_retryable_errors_of_the_store_do_not_end_a_wait(world: World) -> None:
    record = accept(world)
    read, errors = world.store.read, [EaselError("upstream_unavailable", "slow down")] * 3

    def failing_read(key: str) -> bytes | None:
        if errors:
            raise errors.pop()
        return read(key)

    world.store.read = failing_read  # type: ignore[method-assign]
    assert world.jobs.wait(record, world.clock.now() + 25).status == "succeeded"
    world.store.read = lambda key: _raise(EaselError("config_error", "no"))  # type: ignore[method-assign]
    with pytest.raises(EaselError):
        world.jobs.wait(record, world.clock.now() + 25)


def _raise(error: Exception) -> Any:
    raise error


def test_a_cancelled_job_cannot_start(world: World) -> None:
    record = accept(world)
    assert world.jobs.cancel(record.ticket).status == "cancelled"
    assert record.ticket.key("request.json") not in world.store.objects
    world.endpoint.generate_all()
    assert world.jobs.get(record.ticket).status == "cancelled"
    assert world.jobs.cancel(record.ticket).status == "cancelled", "cancelling twice is no error"
    assert world.reporter.start(record.ticket) is None
    assert world.reporter.finish(record.ticket, response_to(REQUEST)).status == "cancelled"


@pytest.mark.parametrize(("state", "code"), [("started", "job_running"), ("finished", "job_finished")])
def test_a_started_job_cannot_be_cancelled(world: World, state: str, code: str) -> None:
    world.endpoint.reports_start = True
    record = accept(world)
    assert world.reporter.start(record.ticket)
    if state == "finished":
        world.reporter.finish(record.ticket, response_to(REQUEST))
    with pytest.raises(EaselError) as error:
        world.jobs.cancel(record.ticket)
    assert error.value.code == code
    assert world.jobs.get(record.ticket).status == {"started": "running", "finished": "succeeded"}[state]


def test_a_job_starts_once(world: World) -> None:
    world.endpoint.reports_start = True
    record = accept(world)
    assert world.reporter.start(record.ticket) == contract.render_request(REQUEST).encode()
    assert world.reporter.start(record.ticket) is None
    assert world.jobs.get(record.ticket).started_at == world.clock.now()


def test_a_started_job_is_never_submitted_again(world: World) -> None:
    record = accept(world)
    world.store.delete(record.ticket.key("submitted.json"))
    world.reporter.start(record.ticket)
    world.clock.time += SUBMIT_GRACE_S + 1
    world.jobs.get(record.ticket)
    assert len(world.endpoint.submitted) == 1


GOOD = json.loads(response_to(REQUEST))


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**GOOD, "seeds": [8]}).encode(),
        json.dumps({**GOOD, "generated_images": ["!!!!"]}).encode(),
        json.dumps({**GOOD, "generated_images": ["AAAA"]}).encode(),
        json.dumps({**GOOD, "generated_images": ["é"]}).encode(),
        json.dumps({**GOOD, "generated_images": GOOD["generated_images"] * 2, "seeds": [7, 8]}).encode(),
        json.dumps({**GOOD, "timings": {"generate_s": float("nan")}}).encode(),
        json.dumps({**GOOD, "timings": {"generate_s": 10**400}}).encode(),
        json.dumps({**GOOD, "timings": {"generate_s": "1"}}).encode(),
        json.dumps({**GOOD, "warnings": [1]}).encode(),
        json.dumps({**GOOD, "origin": {"lora_hashes": {"flat": 1}}}).encode(),
        json.dumps({**GOOD, "origin": {"revision": "\ud800"}}).encode(),
        json.dumps({**GOOD, "parameters": {"x": float("inf")}}).encode(),
        json.dumps({**GOOD, "parameters": {"x": "\ud800"}}).encode(),
    ],
    ids=lambda response: response[:60].decode(errors="replace"),
)
def test_an_invalid_response_fails_the_job(world: World, response: bytes) -> None:
    record = accept(world)
    world.reporter.finish(record.ticket, response)
    outcome = world.jobs.get(record.ticket).outcome
    assert outcome
    assert outcome.error
    assert outcome.error["code"] == "model_bad_response"


def test_the_models_own_error_fails_the_job(world: World) -> None:
    record = accept(world)
    sent = {"error": {"code": "nan_output", "message": "bad \ud800 text", "hint": "h", "param": "seed"}}
    world.reporter.finish(record.ticket, json.dumps(sent).encode())
    outcome = world.jobs.get(record.ticket).outcome
    assert outcome
    assert outcome.error == {"code": "nan_output", "message": "bad ? text", "hint": "h", "param": "seed"}


class Predictor:
    """Returns or raises the given responses, one after the other."""

    def __init__(self, *responses: bytes | EaselError) -> None:
        self.responses, self.calls = list(responses), 0

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        self.calls += 1
        response = self.responses.pop(0)
        if isinstance(response, EaselError):
            raise response
        return response


BUSY, LATE = EaselError("model_busy", "busy"), EaselError("model_timeout", "late")
DIED = EaselError("container_died", "died")


@pytest.mark.parametrize(
    ("responses", "calls", "status"),
    [
        ([response_to(REQUEST)], 1, "succeeded"),
        ([BUSY, BUSY, response_to(REQUEST)], 3, "succeeded"),
        ([BUSY, BUSY, BUSY], 3, "failed"),
        ([LATE], 1, "failed"),
        ([BUSY, LATE], 2, "failed"),
        ([DIED, response_to(REQUEST)], 2, "succeeded"),
        ([DIED, DIED, response_to(REQUEST)], 2, "failed"),
        ([DIED, BUSY, DIED], 3, "failed"),
        ([DIED, LATE], 2, "failed"),
    ],
)
def test_a_runner_retries_only_jobs_that_did_not_start_or_died_once(
    world: World, responses: list[bytes | EaselError], calls: int, status: str
) -> None:
    record, predictor = accept(world), Predictor(*responses)
    run_job(record.ticket, world.reporter, predictor, world.clock)
    run_job(record.ticket, world.reporter, predictor, world.clock)
    assert predictor.calls == calls, "the second delivery of the event runs nothing"
    assert world.jobs.get(record.ticket).status == status


def test_a_runner_skips_a_cancelled_job(world: World) -> None:
    record, predictor = accept(world), Predictor()
    world.jobs.cancel(record.ticket)
    run_job(record.ticket, world.reporter, predictor, world.clock)
    assert predictor.calls == 0


class JobStateMachine(RuleBasedStateMachine):
    """Jobs succeed, fail and are cancelled, late, twice or never; processes die at any write. In the end every accepted
    job has one outcome: the first that was observed."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.keys: dict[str, set[str]] = {}
        self.observed: dict[Ticket, str] = {}
        self.possible: dict[Ticket, set[str]] = {}

    def _crash_after(self, writes: int | None) -> None:
        left = [writes if writes is not None else 10**9]

        def count(key: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        self.world.store.before_write = count

    @rule(target=tickets, key=st.sampled_from(["", "k1", "k2"]), crash=st.none() | st.integers(0, 6))
    def accept(self, key: str, crash: int | None) -> Any:
        self._crash_after(crash)
        try:
            ticket = self.world.jobs.accept(OWNER, REQUEST, key, "same").ticket
        except Crash:
            return Ticket(OWNER, "0" * 44)
        finally:
            self._crash_after(None)
        if key:
            self.keys.setdefault(key, set()).add(ticket.id)
        return ticket

    def _act(self, ticket: Ticket, status: str, crash: int | None, act: Any) -> None:
        self.possible.setdefault(ticket, set()).add(status)
        self._crash_after(crash)
        try:
            act()
        except Crash:
            return
        except EaselError as error:
            assert error.code in ("not_found", "job_finished", "job_running"), error.code
        finally:
            self._crash_after(None)

    @rule(ticket=tickets, crash=st.none() | st.integers(0, 3))
    def succeed(self, ticket: Ticket, crash: int | None) -> None:
        self._act(ticket, "succeeded", crash, lambda: self.world.reporter.finish(ticket, response_to(REQUEST)))

    @rule(ticket=tickets, crash=st.none() | st.integers(0, 1))
    def fail(self, ticket: Ticket, crash: int | None) -> None:
        self._act(ticket, "failed", crash, lambda: self.world.reporter.fail(ticket, EaselError("model_error", "m")))

    @rule(ticket=tickets)
    def respond_without_an_sns_message(self, ticket: Ticket) -> None:
        self.possible.setdefault(ticket, set()).add("succeeded")
        if ticket in self.world.endpoint.submitted:
            self.world.endpoint.generate(ticket)

    @rule(ticket=tickets, crash=st.none() | st.integers(0, 2))
    def cancel(self, ticket: Ticket, crash: int | None) -> None:
        self._act(ticket, "cancelled", crash, lambda: self.world.jobs.cancel(ticket))

    @rule(ticket=tickets, crash=st.none() | st.integers(0, 4))
    def read(self, ticket: Ticket, crash: int | None) -> None:
        self._act(ticket, "", crash, lambda: self.world.jobs.get(ticket))

    @rule(seconds=st.sampled_from([1, SUBMIT_GRACE_S + 1, 3601]))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.time += seconds

    @invariant()
    def a_key_has_one_job(self) -> None:
        assert all(len(ids) == 1 for ids in self.keys.values())

    @invariant()
    def outcomes_never_change(self) -> None:
        for key, body in self.world.store.objects.items():
            if key.endswith("/outcome.json"):
                _, owner, id, _ = key.split("/")
                status = json.loads(body)["status"]
                assert self.observed.setdefault(Ticket(owner, id), status) == status

    @invariant()
    def no_job_is_submitted_more_than_twice(self) -> None:
        counts = [self.world.endpoint.submitted.count(ticket) for ticket in set(self.world.endpoint.submitted)]
        assert max(counts, default=0) <= 2

    def teardown(self) -> None:
        self._crash_after(None)
        self.world.clock.time += 3601
        for job in self.world.jobs.recent(OWNER, 1000):
            assert job.outcome, "every job ends"
            assert job.status in {"failed", *self.possible.get(job.ticket, ())}, "with a status that something gave it"
            assert self.observed.get(job.ticket, job.status) == job.status
        ends = [id for id, _ in self.world.telemetry.ends]
        assert len(ends) == len(set(ends)), "every end is logged once"


TestJobStateMachine = JobStateMachine.TestCase
TestJobStateMachine.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
