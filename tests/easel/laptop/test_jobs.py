"""Jobs through the whole service: order, idempotency, progress, busy workers."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil

from tests.easel.running import ENDED, Laptop, until


def drawn(laptop: Laptop, id: str) -> int:
    """How often the container was asked for the job."""
    return (laptop.data / "journal").read_text().count(id)


def test_one_click_is_one_job_whatever_worker_gets_it(laptop: Laptop) -> None:
    def send(seed: int) -> httpx.Response:
        body = {"prompt": "a red apple", "seed": seed}
        return httpx.post(
            f"{laptop.url}/jobs", json=body, headers={"idempotency-key": "click"}, timeout=30, trust_env=False
        )

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, [7] * 24))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    laptop.outcome(answers[0].json()["id"])
    assert drawn(laptop, answers[0].json()["id"]) == 1
    assert send(8).json()["code"] == "idempotency_mismatch"


def test_jobs_are_drawn_in_the_order_of_their_coming(laptop: Laptop) -> None:
    ids = [laptop.submit("slow 0.1" if i == 0 else "a red apple") for i in range(6)]
    laptop.outcome(ids[-1])
    journal = [line.partition("-")[2] for line in (laptop.data / "journal").read_text().split()]
    assert [id for id in journal if id in ids] == ids


def test_a_waiting_job_can_be_cancelled_and_a_running_one_cannot(laptop: Laptop) -> None:
    running, waiting = laptop.submit("slow 1"), laptop.submit()
    until(lambda: laptop.job(running)["status"] == "running")
    assert laptop.http.delete(f"/jobs/{waiting}").json()["status"] == "cancelled"
    assert laptop.http.delete(f"/jobs/{running}").json()["code"] == "job_running"
    assert laptop.outcome(running)["status"] == "succeeded"
    assert drawn(laptop, waiting) == 0


def stream(url: str, stop_after: int | None = None) -> list[dict[str, Any]]:
    """What GET /jobs/{id}/events tells, until it ends or the client has had enough."""
    told = []
    with httpx.stream("GET", url, timeout=30, trust_env=False) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
            if stop_after and len(told) >= stop_after:
                break
    return told


def test_events_follow_a_job_to_its_end(laptop: Laptop) -> None:
    id = laptop.submit("slow 2")
    told = stream(f"{laptop.url}/jobs/{id}/events")
    assert [job["status"] in ENDED for job in told] == [False] * (len(told) - 1) + [True]
    steps = [job["progress"]["step"] for job in told if job["progress"]]
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert told[-1]["images"]
    assert [job["status"] for job in stream(f"{laptop.url}/jobs/{id}/events")] == ["succeeded"]


def test_a_listener_that_leaves_is_forgotten(laptop: Laptop) -> None:
    def connections() -> int:
        mine = psutil.Process(laptop.process.pid).net_connections()
        return sum(one.status == "ESTABLISHED" and one.laddr.port == laptop.port for one in mine)

    laptop.http.close()
    laptop.http = httpx.Client(base_url=laptop.url, timeout=30, trust_env=False)
    until(lambda: connections() == 0)
    id = httpx.post(f"{laptop.url}/jobs", json={"prompt": "slow 3"}, trust_env=False).json()["id"]
    assert len(stream(f"{laptop.url}/jobs/{id}/events", stop_after=1)) == 1
    until(lambda: connections() == 0, 2)
    assert laptop.outcome(id)["status"] == "succeeded"


def test_events_of_nothing_are_a_problem(laptop: Laptop) -> None:
    answer = laptop.http.get(f"/jobs/{'0' * 44}/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
