"""Processes killed at any moment: no accepted job is lost, and no image is incomplete."""

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

from tests.easel.running import SECONDS, Laptop, wait_for

ROUNDS = 8
SEED = 20261123

pytestmark = pytest.mark.laptop


def is_complete(image: bytes) -> bool:
    """Return whether every chunk of the PNG exists and has the right checksum."""
    position, names = 8, []
    while position < len(image):
        size, name = int.from_bytes(image[position : position + 4], "big"), image[position + 4 : position + 8]
        crc = int.from_bytes(image[position + 8 + size : position + 12 + size], "big")
        if zlib.crc32(image[position + 4 : position + 8 + size]) != crc:
            return False
        names.append(name)
        position += 12 + size
    return names[-1:] == [b"IEND"]


class Client:
    """Submits jobs in a thread and keeps the ids of accepted jobs."""

    def __init__(self, laptop: Laptop) -> None:
        self._url, self._stopping = f"{laptop.url}/jobs", False
        self.accepted: list[str] = []
        self._thread = threading.Thread(target=self._submit)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()

    def wait_for_another(self) -> None:
        goal = len(self.accepted) + 1
        wait_for(lambda: len(self.accepted) >= goal)

    def _submit(self) -> None:
        with httpx.Client(timeout=SECONDS, trust_env=False) as http:
            while not self._stopping:
                with contextlib.suppress(httpx.TransportError):
                    response = http.post(self._url, json={"prompt": "slow 0.05"})
                    if response.status_code == 202:
                        self.accepted.append(response.json()["id"])


def queued(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "queue").iterdir())


def check(laptop: Laptop, id: str) -> None:
    job = laptop.outcome(id)
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert is_complete(laptop.http.get(job["images"][0]["url"]).content)


@pytest.mark.slow
def test_no_accepted_job_is_lost(tmp_path: Path) -> None:
    """Kills the container and the whole service in turn, and starts the service again."""
    delays, interrupted = random.Random(SEED), set[str]()
    with Laptop(tmp_path) as laptop:
        with Client(laptop) as client:
            for i in range(ROUNDS):
                client.wait_for_another()
                time.sleep(delays.uniform(0, 0.2))
                if i % 2:
                    laptop.stop(signal.SIGKILL)
                    laptop.__enter__()
                else:
                    wait_for(lambda: not interrupted & {*queued(tmp_path)})  # a second time would end the job
                    laptop.container().kill()
                    interrupted.update(queued(tmp_path)[:1])
        for id in client.accepted:
            check(laptop, id)
        wait_for(lambda: not queued(tmp_path))


def test_a_job_that_kills_the_model_twice_fails(laptop: Laptop) -> None:
    killer, other = laptop.submit("die now"), laptop.submit()
    job = laptop.outcome(killer)
    assert (job["status"], job["error"]["code"]) == ("failed", "container_died")
    assert (laptop.data / "journal").read_text().count(killer) == 2
    assert laptop.outcome(other)["status"] == "succeeded"
    response = laptop.http.post("/generate", json={"prompt": "die now"})
    assert (response.status_code, response.json()["code"]) == (503, "container_died")


def test_an_idle_container_that_dies_is_started_again(laptop: Laptop) -> None:
    before = laptop.container()
    before.kill()
    assert laptop.outcome(laptop.submit())["status"] == "succeeded"
    assert laptop.container().pid != before.pid


@pytest.mark.parametrize("code", ["nan_output", "gpu_out_of_memory"])
def test_an_error_of_the_model_is_the_error_of_the_job(laptop: Laptop, code: str) -> None:
    job = laptop.outcome(laptop.submit(f"fail {code}"))
    assert (job["status"], job["error"]["code"]) == ("failed", code)


def test_a_container_ends_with_its_parent(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop:
        container = laptop.container()
        laptop.process.kill()
        psutil.wait_procs([container], SECONDS)
        assert not container.is_running()
