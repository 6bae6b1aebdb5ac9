"""Records that are damaged, empty, of another version, or written while the clock was set."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fakes import PROFILE, World, event, response_to
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_native import IMG2IMG, check_schema, problem

import contract
from contract import EaselError
from jobs.lifecycle import SUBMIT_GRACE_S
from jobs.ports import LAST_SECOND, Progress, Ticket
from jobs.records import new_ticket, read_outcome, read_record, read_start, read_submission
from jobs.run import run_job

APPLE = {"prompt": "a red apple", "seed": 7}
REQUEST = contract.parse_request(json.dumps(APPLE), PROFILE)
RECORDS = ("job.json", "request.json", "submitted.json", "started.json", "outcome.json")
STATES: dict[str, Callable[[World, Ticket], Any]] = {
    "queued": lambda world, ticket: None,
    "running": lambda world, ticket: world.reporter.start(ticket),
    "succeeded": lambda world, ticket: world.reporter.finish(ticket, response_to(REQUEST)),
    "failed": lambda world, ticket: world.reporter.fail(ticket, EaselError("model_error", "m")),
    "cancelled": lambda world, ticket: world.jobs.cancel(ticket),
}
EMPTY_OR_DAMAGED = [b"", b"\0" * 200, b"null", b"[]", b"{}", b"7", b'{"status":', b"\xff\xfe", b"[" * 100_000]


@pytest.fixture
def world() -> World:
    """A world whose endpoint generates nothing."""
    world = World(reports_start=True)
    world.clock.while_sleeping = lambda: None
    return world


def submit(world: World, state: str = "queued") -> Ticket:
    world.clock.time += 1
    assert world.call("POST", "/jobs", APPLE)[0] == 202
    ticket = world.endpoint.submitted[-1]
    STATES[state](world, ticket)
    return ticket


def listed(world: World) -> dict[str, Any]:
    """Return the jobs of GET /jobs by their id, after checking their schema."""
    status, body = world.call("GET", "/jobs")
    assert status == 200
    check_schema("Jobs", body)
    return {job["id"]: job for job in body["jobs"]}


# --- damaged records -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", EMPTY_OR_DAMAGED, ids=lambda body: str(body[:9]))
@pytest.mark.parametrize("name", ["job.json", "outcome.json"])
def test_a_damaged_record_is_one_failed_job_that_can_be_deleted(world: World, name: str, body: bytes) -> None:
    good, bad = submit(world), submit(world, "succeeded")
    world.store.objects[bad.key(name)] = body
    for job in (listed(world)[bad.id], world.call("GET", f"/jobs/{bad.id}")[1]):
        assert (job["status"], job["error"]["code"], job["images"]) == ("failed", "record_damaged", [])
        assert name in job["error"]["message"]
        assert job["created_at"].startswith("2027-01-15T08:00:02")
    assert listed(world)[good.id]["status"] == "queued"
    status, deleted = world.call("DELETE", f"/jobs/{bad.id}")
    assert (status, deleted["status"]) == (200, "cancelled")
    assert listed(world)[bad.id]["status"] == "cancelled"
    assert world.call("DELETE", f"/jobs/{bad.id}")[0] == 200


@pytest.mark.parametrize("body", EMPTY_OR_DAMAGED, ids=lambda body: str(body[:9]))
def test_every_reader_takes_a_damaged_object_for_the_same(world: World, body: bytes) -> None:
    """The object exists: the job was accepted, submitted, started and has ended, and nothing runs it again."""
    ticket = submit(world)
    for name in RECORDS:
        world.store.objects[ticket.key(name)] = body
    with pytest.raises(EaselError) as error:
        read_record(world.store, ticket)
    assert error.value.code == "record_damaged"
    outcome = read_outcome(world.store, ticket)
    assert outcome is not None
    assert outcome.is_damaged
    assert read_start(world.store, ticket) == ticket.created_at
    assert read_submission(world.store, ticket) is not None
    assert not world.reporter.is_open(ticket)
    assert world.reporter.start(ticket) is None


@pytest.mark.parametrize("body", EMPTY_OR_DAMAGED, ids=lambda body: str(body[:9]))
def test_a_damaged_idempotency_key_is_an_error_and_no_second_job(world: World, body: bytes) -> None:
    headers = {"Idempotency-Key": "click-1"}
    world.call("POST", "/jobs", APPLE, headers=headers)
    (claim,) = [key for key in world.store.objects if key.startswith("idempotency/")]
    world.store.objects[claim] = body
    problem(world.send(event("POST", "/jobs", APPLE, headers=headers)), 500, "record_damaged")
    assert len(world.endpoint.submitted) == 1


def test_a_claim_that_cannot_be_read_ends(world: World) -> None:
    world.store.create = lambda key, body: False  # type: ignore[method-assign]
    response = world.send(event("POST", "/jobs", APPLE, headers={"Idempotency-Key": "click-1"}))
    problem(response, 503, "upstream_unavailable")


@pytest.mark.parametrize("body", [None, *(body for body in EMPTY_OR_DAMAGED if body != b"{}")], ids=str)
def test_a_job_without_its_input_fails(world: World, body: bytes | None) -> None:
    """Otherwise it stays the oldest in the laptop's queue for ever."""
    ticket = submit(world)
    world.store.delete(ticket.key("request.json"))
    if body is not None:
        world.store.objects[ticket.key("request.json")] = body
    run_job(ticket, world.reporter, None, world.clock)  # type: ignore[arg-type]  # no container is called
    assert listed(world)[ticket.id]["error"]["code"] == "input_missing"
    assert not world.reporter.is_open(ticket)


def test_a_job_folder_without_a_record_is_no_job(world: World) -> None:
    ticket = submit(world)
    world.store.delete(ticket.key("job.json"))
    assert listed(world) == {}
    problem(world.send(event("GET", f"/jobs/{ticket.id}")), 404, "not_found")
    assert not world.reporter.is_open(ticket)


def test_other_names_are_no_jobs(world: World) -> None:
    ticket = submit(world)
    for name in (".DS_Store", "..", "A" * 44, f"{ticket.id} (copy)", f"{ticket.id}\n"):
        world.store.objects[f"jobs/{ticket.owner}/{name}/job.json"] = b"{}"
    assert list(listed(world)) == [ticket.id]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_the_store_cannot_read_is_one_failed_job(world: World, name: str) -> None:
    """For example a file that another user owns, or that lies on a bad sector."""
    good, bad = submit(world), submit(world, "running")
    read = world.store.read

    def failing_read(key: str) -> bytes | None:
        if key == bad.key(name):
            raise EaselError("config_error", "the results cannot be read: Permission denied")
        return read(key)

    world.store.read = failing_read  # type: ignore[method-assign]
    jobs = listed(world)
    assert jobs[good.id]["status"] == "queued"
    if name not in ("request.json", "submitted.json"):  # this process knows what it submitted
        assert jobs[bad.id]["error"]["code"] == "config_error"
        problem(world.send(event("GET", f"/jobs/{bad.id}")), 500, "config_error")


def test_a_damaged_init_image_harms_no_other_job(world: World) -> None:
    good = submit(world)
    assert world.call("POST", "/jobs", IMG2IMG)[0] == 202
    bad = world.endpoint.submitted[-1]
    world.store.objects[bad.key("init-image")] = b"\xff\xfe"
    world.store.delete(bad.key("submitted.json"))
    world.clock.time += SUBMIT_GRACE_S + 1
    assert listed(world)[good.id]["status"] == "queued"


@pytest.mark.parametrize("id", ["0" * 44, "f" * 44])
def test_a_damaged_record_with_an_impossible_time_in_its_id(world: World, id: str) -> None:
    ticket = submit(world)
    world.store.objects[Ticket(ticket.owner, id).key("job.json")] = b""
    assert listed(world)[id]["status"] == "failed"


def test_a_record_belongs_to_the_folder_that_it_lies_in(world: World) -> None:
    """Not to the owner and id in it."""
    first, second = submit(world), submit(world)
    world.store.objects[second.key("job.json")] = world.store.objects[first.key("job.json")]
    assert set(listed(world)) == {first.id, second.id}
    record = read_record(world.store, second)
    assert record is not None
    assert record.ticket == second


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["created_at", "steady_at", "request", "status", "completed_at", "images", "timings", "warnings", "error",
     "parameters", "started_at", "output", "failure", "newer"]
)  # fmt: skip
INNER = st.sampled_from(["prompt", "seed", "num_images_per_prompt", "width", "output_format", "code", "name", "newer"])


def change(body: bytes, how: Any) -> bytes:
    """Return the damaged object: cut, replaced, or with another value in a field."""
    kind, name, inner, value = how
    if kind == "cut":
        return body[: len(body) // 2]
    if kind == "replace":
        return value if isinstance(value, bytes) else json.dumps(value).encode()
    content = json.loads(body or b"{}")
    target = content.get(name)
    target = target[0] if isinstance(target, list) and target else target
    if kind == "inner" and isinstance(target, dict):
        target[inner] = None if isinstance(value, bytes) else value
    else:
        content[name] = None if isinstance(value, bytes) else value
    return json.dumps(content).encode()


CHANGES = st.tuples(st.sampled_from(["cut", "replace", "field", "inner"]), FIELDS, INNER, JSON | st.binary(max_size=50))


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.sampled_from(list(STATES)), st.dictionaries(st.sampled_from(RECORDS), CHANGES, min_size=1, max_size=2))
def test_any_damage_affects_one_job(state: str, damage: dict[str, Any]) -> None:
    world = World(reports_start=True)
    good, bad = submit(world), submit(world, state)
    for name, how in damage.items():
        if body := world.store.objects.get(bad.key(name)):
            world.store.objects[bad.key(name)] = change(body, how)
    jobs = listed(world)
    assert set(jobs) == {good.id, bad.id}
    assert jobs[good.id]["status"] == "queued"
    status, job = world.call("GET", f"/jobs/{bad.id}")
    assert (status, job["status"]) == (200, jobs[bad.id]["status"])
    assert world.call("DELETE", f"/jobs/{bad.id}")[0] in (200, 409)
    world.clock.time += 3601
    assert listed(world)[bad.id]["completed_at"], "no damage makes a job run for ever"


# --- other versions ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_fields_of_a_newer_version_are_ignored(world: World, state: str) -> None:
    ticket = submit(world, state)
    before = listed(world)[ticket.id]
    for name in RECORDS:
        if body := world.store.objects.get(ticket.key(name)):
            content = json.loads(body) | {"newer": {"a": [1]}}
            for inner in [content.get("request"), *content.get("images", [])]:
                if inner:
                    inner["newer"] = 1
            world.store.objects[ticket.key(name)] = json.dumps(content).encode()
    assert listed(world)[ticket.id] == before
    assert world.call("GET", f"/jobs/{ticket.id}")[1] == before


def test_an_error_code_of_a_newer_version_is_a_failure_of_the_model(world: World) -> None:
    ticket = submit(world, "failed")
    outcome = json.loads(world.store.objects[ticket.key("outcome.json")])
    outcome["error"] = {"code": "too_beautiful", "message": "it is too beautiful"}
    world.store.objects[ticket.key("outcome.json")] = json.dumps(outcome).encode()
    error = listed(world)[ticket.id]["error"]
    assert (error["code"], error["message"]) == ("model_error", "it is too beautiful")


def test_records_of_an_older_version_are_read(world: World) -> None:
    ticket = submit(world, "succeeded")
    record = json.loads(world.store.objects[ticket.key("job.json")])
    del record["steady_at"]
    world.store.objects[ticket.key("job.json")] = json.dumps(record).encode()
    assert listed(world)[ticket.id]["status"] == "succeeded"


# --- the clock is set ----------------------------------------------------------------------------

HOUR, WEEK = 3600.0, 8 * 24 * 3600.0


@pytest.mark.parametrize("jump", [-HOUR, HOUR, WEEK, -WEEK])
def test_durations_do_not_follow_the_clock(world: World, jump: float) -> None:
    ticket = submit(world)
    world.clock.time += 3
    world.clock.jump = jump
    world.reporter.start(ticket)
    world.clock.time += 7
    world.reporter.finish(ticket, response_to(REQUEST))
    job = listed(world)[ticket.id]
    assert job["timings"]["job_s"] == 10
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    outcome, record = read_outcome(world.store, ticket), read_record(world.store, ticket)
    assert outcome is not None
    assert record is not None
    assert outcome.completed_at - record.created_at == 10


def test_without_a_steady_clock_no_duration_is_negative(world: World) -> None:
    """In the cloud the steady clock is the wall clock; after a restart of a laptop its steady clock begins again."""
    world.clock.steady = world.clock.now  # type: ignore[method-assign]
    ticket = submit(world)
    world.clock.jump = -HOUR
    world.reporter.start(ticket)
    world.reporter.finish(ticket, response_to(REQUEST))
    job = listed(world)[ticket.id]
    assert job["timings"]["job_s"] == 0
    assert job["created_at"] == job["started_at"] == job["completed_at"]


def test_negative_times_of_older_records_are_not_shown(world: World) -> None:
    ticket = submit(world, "succeeded")
    outcome = json.loads(world.store.objects[ticket.key("outcome.json")])
    outcome |= {"completed_at": outcome["completed_at"] - HOUR, "timings": {"job_s": -3599.0}}
    world.store.objects[ticket.key("outcome.json")] = json.dumps(outcome).encode()
    job = listed(world)[ticket.id]
    assert (job["timings"]["job_s"], job["completed_at"]) == (0, job["created_at"])


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_clock_that_goes_forward_expires_no_job(world: World, state: str) -> None:
    ticket = submit(world, state)
    world.clock.jump = WEEK
    assert listed(world)[ticket.id]["status"] == state
    world.clock.time += HOUR + 1
    assert listed(world)[ticket.id]["error"]["code"] == "job_expired"


def test_a_job_that_the_endpoint_runs_does_not_expire(world: World) -> None:
    ticket = submit(world, "running")
    world.endpoint.known_progress = Progress(3, 20)
    world.clock.time += HOUR + 1
    assert listed(world)[ticket.id]["status"] == "running"


def test_a_clock_that_goes_back_does_not_delay_what_is_due(world: World) -> None:
    ticket = submit(world)
    world.store.delete(ticket.key("submitted.json"))
    world.jobs._submissions.clear()  # as in another process
    world.endpoint.submitted.clear()
    world.clock.jump = -HOUR
    world.clock.time += SUBMIT_GRACE_S + 1
    listed(world)
    assert world.endpoint.submitted == [ticket]


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_wait_does_not_follow_the_clock(world: World, jump: float) -> None:
    def set_clock() -> None:
        world.clock.jump = jump

    world.clock.while_sleeping = set_clock
    began = world.clock.time
    assert world.call("POST", "/generate", APPLE)[0] == 202
    assert world.clock.time - began == pytest.approx(25)


@pytest.mark.parametrize("now", [0.0, 1_800_000_000.123, LAST_SECOND - 1.0])
def test_a_job_id_contains_the_time(now: float) -> None:
    assert new_ticket("0" * 16, now).created_at == pytest.approx(now, abs=0.001)
