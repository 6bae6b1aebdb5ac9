"""Whatever is killed, whenever: no accepted job is lost, none is drawn half."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
import zlib
from pathlib import Path

import httpx
import psutil
import pytest

from tests.easel.running import Laptop, until

ROUNDS = 10
SEED = 20261123


def whole(picture: bytes) -> bool:
    """Every chunk of the PNG is there and has the right checksum."""
    at, names = 8, []
    while at < len(picture):
        size, name = int.from_bytes(picture[at : at + 4], "big"), picture[at + 4 : at + 8]
        crc = int.from_bytes(picture[at + 8 + size : at + 12 + size], "big")
        if zlib.crc32(picture[at + 4 : at + 8 + size]) != crc:
            return False
        names.append(name)
        at += 12 + size
    return names[-1:] == [b"IEND"]


class Customer:
    """Asks for pictures until told to leave, and keeps the ids of those that were accepted."""

    def __init__(self, laptop: Laptop) -> None:
        self._url, self._leaving = f"{laptop.url}/jobs", False
        self.accepted: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Customer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        self._thread.join()

    def wait_for_another(self) -> None:
        goal = len(self.accepted) + 1
        until(lambda: len(self.accepted) >= goal)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False) as http:
            while not self._leaving:
                with contextlib.suppress(httpx.TransportError):
                    answer = http.post(self._url, json={"prompt": "slow 0.05"})
                    if answer.status_code == 202:
                        self.accepted.append(answer.json()["id"])


def check(laptop: Laptop, id: str) -> None:
    job = laptop.outcome(id, 60)
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert whole(laptop.http.get(job["images"][0]["url"]).content)


def strike(laptop: Laptop, victim: int) -> None:
    """Kills the container, an API worker, or all of it, and brings it up again where that is needed."""
    if victim == 0:
        laptop.part("easel.laptop.container.parent_watchdog").kill()
    elif victim == 1:
        laptop.part("easel.laptop.worker").kill()
    else:
        laptop.stop(signal.SIGKILL)
        laptop.__enter__()


def test_no_accepted_job_is_lost(tmp_path: Path) -> None:
    moments = random.Random(SEED)
    with Laptop(tmp_path) as laptop:
        with Customer(laptop) as customer:
            for i in range(ROUNDS):
                customer.wait_for_another()
                time.sleep(moments.uniform(0, 0.2))
                strike(laptop, i % 3)
        for id in customer.accepted:
            check(laptop, id)
        until(lambda: not list((tmp_path / "queue").iterdir()))


def test_a_job_that_kills_the_model_twice_is_given_up(laptop: Laptop) -> None:
    killer, next_one = laptop.submit("die now"), laptop.submit()
    job = laptop.outcome(killer)
    assert (job["status"], job["error"]["code"]) == ("failed", "container_died")
    assert (laptop.data / "journal").read_text().count(killer) == 2
    assert laptop.outcome(next_one)["status"] == "succeeded"
    answer = laptop.http.post("/generate", json={"prompt": "die now"})
    assert (answer.status_code, answer.json()["code"]) == (503, "container_died")


def test_a_container_that_dies_without_work_comes_back(laptop: Laptop) -> None:
    before = laptop.part("easel.laptop.container.parent_watchdog")
    before.kill()
    assert laptop.outcome(laptop.submit())["status"] == "succeeded"
    assert laptop.part("easel.laptop.container.parent_watchdog").pid != before.pid


@pytest.mark.parametrize("code", ["nan_output", "gpu_out_of_memory"])
def test_what_the_model_says_is_told(laptop: Laptop, code: str) -> None:
    job = laptop.outcome(laptop.submit(f"say {code}"))
    assert (job["status"], job["error"]["code"]) == ("failed", code)


def test_a_container_outlives_nobody(tmp_path: Path) -> None:
    """The container alone is left for a moment when all of the others are killed at once."""
    with Laptop(tmp_path) as laptop:
        container = laptop.part("easel.laptop.container.parent_watchdog")
        for member in laptop.family():
            if member.pid != container.pid:
                member.kill()
        psutil.wait_procs([container], 5)
        assert not container.is_running()
