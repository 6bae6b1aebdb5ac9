"""A clock that is set while jobs wait and run: durations, order and expiry stay right."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from contract import EaselError
from easel.laptop import clock as module
from easel.laptop.api_handler import make_handler
from easel.laptop.catalogue import find
from easel.laptop.clock import InterruptibleClock
from easel.laptop.container.served_model import ServedModel
from easel.laptop.storage import queue as queues
from easel.laptop.storage.data_folder import DataFolder
from easel.laptop.storage.queue import MAX_QUEUED, Queue
from jobs.ports import Ticket
from tests.easel.running import FAKE, MODEL, ROOT, Laptop

HOUR, DAY = 3600, 86_400
FAKE_TIME = """
import os, time
_time = time.time
def fake():
    with open(os.environ["FAKE_TIME"]) as file:
        return _time() + float(file.read() or 0)
time.time = fake
"""


def ticket(created: float, owner: str = "a" * 16) -> Ticket:
    """Return a ticket whose id contains this time."""
    return Ticket(owner, f"{2**48 - 1 - int(created * 1000):012x}{'0' * 32}")


@pytest.mark.parametrize("change", [-HOUR, 8 * DAY])
def test_setting_the_clock_changes_no_duration(monkeypatch: pytest.MonkeyPatch, change: float) -> None:
    clock, real = InterruptibleClock(), time.time
    before, steady = clock.now(), clock.steady()
    assert abs(before - real()) < HOUR
    monkeypatch.setattr(time, "time", lambda: real() + change)
    assert 0 <= clock.now() - before < 60
    assert 0 <= clock.steady() - steady < 60
    assert 0 <= module.now() - before < 60


def test_jobs_leave_the_queue_in_the_order_of_arrival(tmp_path: Path) -> None:
    tickets = [ticket(created) for created in (5 * HOUR, 4 * HOUR, 9 * DAY, 1)]
    for item in tickets:
        Queue(tmp_path).put(item, MODEL)  # a new object each time, as after a restart
    queue = Queue(tmp_path)
    for item in tickets:
        assert queue.waiting()[0] == (item, MODEL)
        queue.put(item, MODEL)  # again
        queue.remove(item)
    assert not queue.waiting()
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_of_a_job_is_not_in_the_queue(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    (tmp_path / ticket(1).inference_id).touch()
    (
        tmp_path / f"{0:012d}-{ticket(2).inference_id}-{MODEL}"
    ).mkdir()  # it could not be removed, and would hold up all others
    queue = Queue(tmp_path)
    assert not queue.waiting()
    queue.put(ticket(2), MODEL)
    assert queue.waiting() == [(ticket(2), MODEL)]


def test_a_job_that_an_older_version_queued_is_for_the_default_model(tmp_path: Path) -> None:
    (tmp_path / f"{1:012d}-{ticket(1).inference_id}").touch()
    Queue(tmp_path).put(ticket(2), "other")
    queue = Queue(tmp_path)
    queue.adopt(MODEL)
    assert queue.waiting() == [(ticket(1), MODEL), (ticket(2), "other")]
    queue.remove(ticket(1))
    assert Queue(tmp_path).waiting() == [(ticket(2), "other")]


def test_crashes_are_counted_across_restarts(tmp_path: Path) -> None:
    Queue(tmp_path).put(ticket(1), MODEL)
    assert [Queue(tmp_path).record_crash(ticket(1)) for _ in range(2)] == [1, 2]


@pytest.mark.laptop
def test_a_service_whose_clock_is_set(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAKE_TIME)
    offset = tmp_path / "offset"
    offset.write_text("0")
    variables = {"PYTHONPATH": str(tmp_path), "FAKE_TIME": str(offset), "FAKE_JOURNAL": str(tmp_path / "journal")}
    with Laptop(tmp_path / "data", **variables) as laptop:
        ids = [laptop.submit("slow 2"), laptop.submit()]
        offset.write_text(str(-HOUR))
        ids.append(laptop.submit())
        offset.write_text(str(8 * DAY))
        ids.append(laptop.submit())
        jobs = [laptop.outcome(id) for id in ids]
        journal = [line.partition("-")[2] for line in (tmp_path / "journal").read_text().split()]
        listed = [job["id"] for job in laptop.http.get("/jobs").json()["jobs"]]
    assert journal == ids
    assert listed == ids[::-1]
    for job in jobs:
        assert job["status"] == "succeeded"
        assert 0 <= job["timings"]["job_s"] < 60
        times = [datetime.fromisoformat(job[name]) for name in ("created_at", "started_at", "completed_at")]
        assert times == sorted(times)


def test_jobs_are_in_order_after_a_restart_whose_clock_went_back(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAKE_TIME)
    offset, ids = tmp_path / "offset", []
    variables = {"PYTHONPATH": str(tmp_path), "FAKE_TIME": str(offset), "FAKE_JOURNAL": str(tmp_path / "journal")}
    for seconds in (8 * DAY, 0):
        offset.write_text(str(seconds))
        with Laptop(tmp_path / "data", **variables) as laptop:
            ids += [laptop.submit(), laptop.submit()]
            jobs = [laptop.outcome(id) for id in ids]
            listed = [job["id"] for job in laptop.http.get("/jobs").json()["jobs"]]
    assert listed == ids[::-1]
    created = [datetime.fromisoformat(job["created_at"]).timestamp() for job in jobs]
    assert created[1] - created[2] > HOUR / 2, "the time is the clock's"


def test_an_id_from_the_far_future_does_not_stop_the_time() -> None:
    arrivals = module.Arrivals()
    arrivals.start_after((2**48 - 1) / 1000)
    assert abs(arrivals.next() - module.now()) < 60


# --- the bound of the queue ----------------------------------------------------------------------


def test_a_full_queue_is_too_busy_and_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_QUEUED", 2)
    data, clock = DataFolder(tmp_path), InterruptibleClock()
    served = ServedModel(FAKE, find(MODEL), tmp_path / "model.log")
    handler = make_handler(data, [served], clock, lambda: None)
    headers = {"content-type": "application/json"}
    identity = {"requestContext": {"authorizer": {"owner": "0" * 16}}}
    event = {"httpMethod": "POST", "path": "/jobs", "headers": headers, "body": '{"prompt": "a red apple"}', **identity}
    assert [handler(event)["statusCode"] for _ in range(3)] == [202, 202, 429]
    assert len(list((tmp_path / "store/jobs").glob("*/*"))) == 2
    with pytest.raises(EaselError) as caught:
        data.queue.check_room(MODEL)
    assert caught.value.code == "too_busy"
    data.queue.check_room("another")
    data.queue.remove(data.queue.waiting()[0][0])
    assert handler(event)["statusCode"] == 202


def test_the_documentation_names_the_bound_of_the_queue() -> None:
    for page in ("api.md", "errors.md"):
        assert f"{MAX_QUEUED} jobs" in (ROOT / "docs/reference" / page).read_text()
