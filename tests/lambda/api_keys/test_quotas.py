"""Quotas: exact with any number of requests at once, and healed after a process died."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes import PROFILE, Crash, MemoryLedger, World, event, owner_of
from test_native import problem

from contract import EaselError, parse_request
from jobs.accounting import FIRST_GPU_MS, MAX_OPEN_JOBS, Usage
from jobs.accounts import Amount, Limits, Month
from jobs.lifecycle import SUBMIT_GRACE_S
from jobs.ports import Ticket

APPLE = {"prompt": "a red apple", "seed": 7}
KEY = "key-1"
OWNER = owner_of(KEY)


def world(images: int | None = None, gpu_seconds: int | None = None) -> World:
    made = World()
    made.ledger.limits[OWNER] = Limits(images_a_day=images, gpu_seconds_a_month=gpu_seconds)
    return made


def submit(made: World, **fields: Any) -> tuple[int, Any]:
    headers = fields.pop("headers", None)
    return made.call("POST", "/jobs", {**APPLE, **fields}, headers=headers)


def used(made: World) -> Usage:
    return made.accounting.usage(OWNER)


def open_jobs(made: World) -> int:
    return len(made.accounting.open(OWNER))


def month(made: World) -> Month:
    (found,) = (item for (owner, _), item in made.ledger.months.items() if owner == OWNER)
    return found


# --- reserve and settle --------------------------------------------------------------------------


def test_a_job_reserves_and_is_settled_with_what_it_used() -> None:
    made = world(images=10)
    assert submit(made, num_images_per_prompt=3)[0] == 202
    assert (used(made).images_today, used(made).images_reserved, open_jobs(made)) == (3, 3, 1)
    assert used(made).gpu_seconds == FIRST_GPU_MS / 1000
    made.endpoint.generate_all()
    made.jobs.get(made.endpoint.submitted[0])
    assert (used(made).images_today, used(made).images_reserved, open_jobs(made)) == (3, 0, 0)
    assert used(made).gpu_seconds == 1.0


def test_a_job_without_images_uses_none() -> None:
    made = world(images=1)
    for _ in range(2):
        status, job = submit(made)
        assert status == 202
        assert made.call("DELETE", f"/jobs/{job['id']}")[0] == 200
    assert used(made).images_today == 0


def test_a_job_that_the_endpoint_refuses_uses_none() -> None:
    made = world(images=1)
    made.endpoint.error = EaselError("throttled", "no")
    assert submit(made)[0] == 429
    made.endpoint.error = None
    assert submit(made)[0] == 202


def test_a_spent_quota_is_429_and_not_to_be_retried() -> None:
    made = world(images=2)
    assert submit(made, num_images_per_prompt=2)[0] == 202
    refused = made.send(event("POST", "/generate", APPLE))
    body = problem(refused, 429, "quota_exceeded")
    assert refused["headers"]["x-should-retry"] == "false"
    assert body["retryable"] is False
    assert len(made.endpoint.submitted) == 1
    assert sum("job.json" in key for key in made.store.objects) == 1


@pytest.mark.parametrize(("images", "status"), [(4, 202), (5, 429)])
def test_the_whole_request_must_fit(images: int, status: int) -> None:
    made = world(images=4)
    assert submit(made, num_images_per_prompt=images)[0] == status
    assert used(made).images_today == (4 if status == 202 else 0)


def test_other_keys_have_quotas_of_their_own() -> None:
    made = world(images=1)
    assert submit(made)[0] == 202
    assert submit(made)[0] == 429
    assert made.call("POST", "/jobs", APPLE, key="key-2")[0] == 202


def test_images_begin_anew_each_day_and_gpu_time_each_month() -> None:
    made = world(images=1, gpu_seconds=1)
    made.clock.time = datetime(2026, 11, 29, 23, 59, 50, tzinfo=UTC).timestamp()
    assert [submit(made)[0] for _ in range(2)] == [202, 429]
    assert used(made).day_ends_at == datetime(2026, 11, 30, tzinfo=UTC).timestamp()
    made.clock.time += 10
    status, body = submit(made)
    assert (status, body["code"]) == (429, "quota_exceeded")  # of GPU time
    assert "GPU seconds" in body["detail"]
    made.clock.time = used(made).month_ends_at
    assert submit(made)[0] == 202


def test_gpu_time_is_what_the_container_measured() -> None:
    made = world(gpu_seconds=2)
    for seconds in (1.0, 2.0):
        assert submit(made)[0] == 202
        made.endpoint.generate_all()
        made.jobs.get(made.endpoint.submitted[-1])
        assert used(made).gpu_seconds == seconds
    assert submit(made)[0] == 429


def test_a_job_reserves_the_mean_time_of_the_months_jobs() -> None:
    made = world()
    made.ledger.months[OWNER, "2027-01"] = Month(gpu_ms=9000, jobs=3)
    assert submit(made)[0] == 202
    assert [amount.gpu_ms for amount in month(made).open.values()] == [3000]


def test_an_owner_cannot_have_more_open_jobs_than_an_item_holds() -> None:
    made = world()
    full = {f"{i:044x}": Amount() for i in range(MAX_OPEN_JOBS)}
    made.ledger.months[OWNER, "2027-01"] = Month(open=full)
    status, body = submit(made)
    assert (status, body["code"]) == (429, "too_busy")


# --- at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [1, 3])
def test_fifty_requests_at_once_share_ten_images_exactly(images: int) -> None:
    made = world(images=10)

    def accept(number: int) -> bool:
        try:
            made.jobs.accept(OWNER, request(images))
        except EaselError as error:
            assert error.code == "quota_exceeded"
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        accepted = sum(pool.map(accept, range(50)))
    assert accepted == 10 // images
    assert used(made).images_today == accepted * images


def request(images: int) -> Any:
    return parse_request(f'{{"prompt": "a red apple", "num_images_per_prompt": {images}}}', PROFILE)


# --- idempotency ---------------------------------------------------------------------------------


def test_a_repeated_request_counts_once_and_works_with_a_spent_quota() -> None:
    made, headers = world(images=1), {"Idempotency-Key": "k"}
    first, again = (submit(made, headers=headers) for _ in range(2))
    assert first[1]["id"] == again[1]["id"]
    made.endpoint.generate_all()
    made.jobs.get(made.endpoint.submitted[0])
    assert submit(made, headers=headers)[1]["id"] == first[1]["id"]
    assert (used(made).images_today, open_jobs(made)) == (1, 0)


def test_a_refused_request_does_not_take_its_key() -> None:
    made, headers = world(images=1), {"Idempotency-Key": "k"}
    assert submit(made)[0] == 202
    assert submit(made, headers=headers)[0] == 429
    made.ledger.limits[OWNER] = Limits(images_a_day=2)
    assert submit(made, headers=headers)[0] == 202


def test_twenty_requests_with_one_key_at_once_count_once() -> None:
    made = world(images=20)
    with ThreadPoolExecutor(20) as pool:
        records = list(pool.map(lambda _: made.jobs.accept(OWNER, request(1), "k", "d"), range(20)))
    assert len({record.ticket for record in records}) == 1
    assert (used(made).images_today, open_jobs(made)) == (1, 1)


# --- a process dies ------------------------------------------------------------------------------


def die_before(made: World, suffix: str) -> None:
    def before_write(key: str) -> None:
        if key.endswith(suffix):
            raise Crash

    made.store.before_write = before_write


def revive(made: World) -> None:
    made.store.before_write = lambda key: None
    made.ledger.before_settle = lambda: None
    made.clock.time += SUBMIT_GRACE_S + 1


def test_it_dies_between_reserve_and_record() -> None:
    made = world(images=1)
    die_before(made, "job.json")
    with pytest.raises(Crash):
        made.send(event("POST", "/jobs", APPLE))
    assert used(made).images_today == 1
    revive(made)
    assert submit(made)[0] == 202
    assert used(made).images_today == 1


def test_a_young_reservation_is_left_alone() -> None:
    made = world(images=1)
    die_before(made, "job.json")
    with pytest.raises(Crash):
        made.send(event("POST", "/jobs", APPLE))
    made.store.before_write = lambda key: None
    assert submit(made)[0] == 429


@pytest.mark.parametrize("cancelled", [False, True])
def test_it_dies_between_outcome_and_settlement(cancelled: bool) -> None:
    made = world(images=1)
    _, job = submit(made)

    def die() -> None:
        raise Crash

    made.ledger.before_settle = die
    with pytest.raises(Crash):
        if cancelled:
            made.send(event("DELETE", f"/jobs/{job['id']}"))
        else:
            made.endpoint.generate_all()
            made.jobs.get(made.endpoint.submitted[0])
    assert open_jobs(made) == 1
    revive(made)
    assert submit(made)[0] == (202 if cancelled else 429)
    assert made.call("GET", "/usage")[1]["images_today"] == 1
    assert open_jobs(made) == (1 if cancelled else 0)


def test_a_ledger_that_fails_at_the_end_does_not_fail_the_job() -> None:
    made = world(images=5)
    _, job = submit(made)

    def fail() -> None:
        raise EaselError("upstream_unavailable", "the table does not respond")

    made.ledger.before_settle = fail
    made.endpoint.generate_all()
    assert made.call("GET", f"/jobs/{job['id']}")[1]["status"] == "succeeded"
    revive(made)
    assert made.call("GET", "/usage")[1]["images_reserved"] == 0
    assert used(made).images_today == 1


def test_a_job_that_nobody_asks_for_expires_and_frees_its_images() -> None:
    made = world(images=1)
    assert submit(made)[0] == 202
    made.endpoint.submitted.clear()
    made.clock.time += 3601
    assert submit(made)[0] == 202


def test_a_takeover_of_a_dead_request_counts_once() -> None:
    made, headers = world(images=1), {"Idempotency-Key": "k"}
    die_before(made, "job.json")
    with pytest.raises(Crash):
        made.send(event("POST", "/jobs", APPLE, headers=headers))
    made.store.before_write = lambda key: None
    assert submit(made, headers=headers)[0] == 202
    assert (used(made).images_today, open_jobs(made)) == (1, 1)


# --- the view ------------------------------------------------------------------------------------


def test_usage_tells_the_caller_its_own_use() -> None:
    made = world(images=10, gpu_seconds=100)
    submit(made, num_images_per_prompt=2)
    status, body = made.call("GET", "/usage")
    assert status == 200
    assert (body["images_today"], body["images_a_day"], body["images_reserved"]) == (2, 10, 2)
    assert (body["gpu_seconds_this_month"], body["gpu_seconds_a_month"]) == (1.0, 100)
    assert body["usd_this_month"] is None
    assert body["day_ends_at"] == "2027-01-16T00:00:00.000Z"
    assert body["month_ends_at"] == "2027-02-01T00:00:00.000Z"
    assert made.call("GET", "/usage", key="key-2")[1]["images_today"] == 0


def test_a_settlement_that_was_made_is_not_made_again() -> None:
    ledger, held = MemoryLedger(), Amount(images=2, gpu_ms=5)
    ticket = Ticket(OWNER, "0" * 44)
    assert ledger.reserve(OWNER, "2027-01", 1, ticket.id, held, Limits()) is True
    assert ledger.reserve(OWNER, "2027-01", 1, ticket.id, held, Limits()) is False
    assert ledger.settle(OWNER, "2027-01", 1, ticket.id, held, Amount(images=1), "") is True
    assert ledger.settle(OWNER, "2027-01", 1, ticket.id, held, Amount(images=1), "") is False
    assert ledger.read(OWNER, "2027-01").months["2027-01"] == Month(days={1: 1}, gpu_ms=0, jobs=1)
