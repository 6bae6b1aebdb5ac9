"""Jobs through the whole service: order, idempotency, progress, cancellation."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.easel.running import ENDED, SECONDS, Laptop, wait_for


def invocations(laptop: Laptop, id: str) -> int:
    """Return how often the container received the job."""
    return (laptop.data / "journal").read_text().count(id)


def test_an_idempotency_key_makes_one_job_in_all_handlers(laptop: Laptop) -> None:
    def send(seed: int) -> httpx.Response:
        body = {"prompt": "a red apple", "seed": seed}
        return httpx.post(
            f"{laptop.url}/jobs", json=body, headers={"idempotency-key": "click"}, timeout=SECONDS, trust_env=False
        )

    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(send, [7] * 24))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    laptop.outcome(responses[0].json()["id"])
    assert invocations(laptop, responses[0].json()["id"]) == 1
    assert send(8).json()["code"] == "idempotency_mismatch"


def test_jobs_run_in_the_order_of_submission(laptop: Laptop) -> None:
    ids = [laptop.submit("slow 0.1" if i == 0 else "a red apple") for i in range(6)]
    laptop.outcome(ids[-1])
    journal = [line.partition("-")[2] for line in (laptop.data / "journal").read_text().split()]
    assert [id for id in journal if id in ids] == ids


def test_a_job_that_waits_for_others_has_the_expected_time(laptop: Laptop) -> None:
    laptop.outcome(laptop.submit())  # so that there is a measured time
    running, waiting = laptop.submit("slow 60"), laptop.submit()
    wait_for(lambda: laptop.job(running)["status"] == "running")
    assert re.search(r" take about [1-9]\d* s ", laptop.job(waiting)["message"])
    for id in (waiting, running):
        laptop.http.delete(f"/jobs/{id}")
    assert laptop.outcome(running)["status"] == "cancelled"


def test_cancel_ends_a_queued_job_and_stops_a_running_one(laptop: Laptop) -> None:
    running, waiting, next_job = laptop.submit("slow 60"), laptop.submit(), laptop.submit()
    wait_for(lambda: laptop.job(running)["status"] == "running")
    assert laptop.http.delete(f"/jobs/{waiting}").json()["status"] == "cancelled"
    assert laptop.http.delete(f"/jobs/{running}").json()["status"] == "cancelled"
    assert laptop.outcome(next_job)["status"] == "succeeded", "the model is free within one step"
    assert laptop.job(running)["status"] == "cancelled"
    assert (invocations(laptop, waiting), invocations(laptop, running)) == (0, 1)


Events = list[dict[str, Any]]


def stream(url: str, stop_after: int | None = None, on_event: Callable[[Events], None] = lambda _: None) -> Events:
    """Return the events of a job until it ends, or the first `stop_after`. `on_event` gets those until then."""
    events: Events = []
    with httpx.stream("GET", url, timeout=SECONDS, trust_env=False) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in response.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                on_event(events)
            if stop_after and len(events) >= stop_after:
                break
    return events


def steps_of(events: Events) -> list[int]:
    return [job["progress"]["step"] for job in events if job["progress"]]


def test_events_follow_a_job_to_its_end(laptop: Laptop, tmp_path: Path) -> None:
    def finish(events: Events) -> None:
        if len(steps_of(events)) >= 3:
            (tmp_path / "go").touch()

    id = laptop.submit(f"until {tmp_path}/go")
    events = stream(f"{laptop.url}/jobs/{id}/events", on_event=finish)
    assert [job["status"] in ENDED for job in events] == [False] * (len(events) - 1) + [True]
    steps = steps_of(events)
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert events[-1]["images"]
    assert [job["status"] for job in stream(f"{laptop.url}/jobs/{id}/events")] == ["succeeded"]


def test_the_connection_of_a_client_that_disconnects_is_closed(laptop: Laptop, tmp_path: Path) -> None:
    def connections() -> int:
        sockets = psutil.Process(laptop.process.pid).net_connections()
        return sum(socket.status == "ESTABLISHED" and socket.laddr.port == laptop.port for socket in sockets)

    laptop.http.close()
    laptop.http = laptop.client()
    wait_for(lambda: connections() == 0)
    body = {"prompt": f"until {tmp_path}/go"}
    id = httpx.post(f"{laptop.url}/jobs", json=body, timeout=SECONDS, trust_env=False).json()["id"]
    assert len(stream(f"{laptop.url}/jobs/{id}/events", stop_after=1)) == 1
    wait_for(lambda: connections() == 0)
    (tmp_path / "go").touch()
    assert laptop.outcome(id)["status"] == "succeeded"


def test_waiting_requests_leave_the_api_responsive(laptop: Laptop, tmp_path: Path) -> None:
    """Six requests wait for a job. The seventh is refused, and requests that do not wait are served."""
    blocker = laptop.submit(f"until {tmp_path}/go")

    def generate(seed: int) -> httpx.Response:
        body = {"prompt": "a red apple", "seed": seed}
        return httpx.post(f"{laptop.url}/generate", json=body, timeout=2 * SECONDS, trust_env=False)

    def waiting() -> int:
        jobs = laptop.http.get("/jobs").json()["jobs"]
        return sum(job["status"] == "queued" for job in jobs)

    with ThreadPoolExecutor(6) as pool:
        responses = pool.map(generate, range(6))
        wait_for(lambda: waiting() == 6)
        refused = generate(6)
        assert laptop.job(blocker)["status"] == "running"
        assert (refused.status_code, refused.json()["code"]) == (429, "too_busy")
        assert laptop.http.get("/health").status_code == 200
        (tmp_path / "go").touch()
        assert [response.status_code for response in responses] == [200] * 6


def test_events_of_a_missing_job_are_not_found(laptop: Laptop) -> None:
    response = laptop.http.get(f"/jobs/{'0' * 44}/events")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
