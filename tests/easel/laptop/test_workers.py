"""The pool of worker processes, with a worker that does what the event says."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable

import pytest

from easel.laptop import worker_pool
from easel.laptop.worker_pool import BusyError, Pool, Worker, WorkerDiedError, start_worker

PROGRAM = """
import json, os, queue, sys, threading
events, woken = queue.SimpleQueue(), threading.Event()
def read():
    for line in sys.stdin:
        message = json.loads(line)
        events.put(message["event"]) if "event" in message else woken.set()
    os._exit(0)
threading.Thread(target=read, daemon=True).start()
def say(**message): print(json.dumps(message), flush=True)
say(ready=True)
while True:
    event = events.get()
    if event == "die": os._exit(1)
    if event == "submit": say(queued=True)
    if event == "sleep": woken.wait()
    say(answer={"pid": os.getpid(), "event": event, "size": "x" * event if isinstance(event, int) else ""})
"""

Test = Callable[[Pool, list[str]], Awaitable[None]]


def run(test: Test, size: int = 2, program: str = PROGRAM) -> None:
    """Runs `test` with a pool and the list of its notices; no worker is left after it."""

    async def running() -> None:
        notices: list[str] = []
        made: list[Worker] = []

        async def start() -> Worker:
            with tempfile.TemporaryFile() as log:
                made.append(await start_worker([sys.executable, "-c", program], {}, log, lambda: notices.append("!")))
            return made[-1]

        pool = Pool(start, size)
        try:
            await test(pool, notices)
        finally:
            await pool.stop()
        assert not any(worker.alive for worker in made)

    asyncio.run(asyncio.wait_for(running(), 30))


def test_a_worker_is_kept_and_has_one_event_at_a_time() -> None:
    async def test(pool: Pool, _: list[str]) -> None:
        first = [await pool.call(i) for i in range(3)]
        assert len({answer["pid"] for answer in first}) == 1
        asleep = asyncio.create_task(pool.call("sleep"))
        await asyncio.sleep(0)
        other = await pool.call(1)
        assert other["pid"] != first[0]["pid"]
        pool.wake()
        assert (await asleep)["pid"] == first[0]["pid"]

    run(test)


def test_when_all_are_busy_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "PATIENCE_SECONDS", 0.1)

    async def test(pool: Pool, _: list[str]) -> None:
        asleep = [asyncio.create_task(pool.call("sleep")) for _ in range(2)]
        while len(pool._workers) < 2 or not pool._idle.empty():
            await asyncio.sleep(0.01)
        with pytest.raises(BusyError):
            await pool.call(1)
        pool.wake()
        await asyncio.gather(*asleep)
        await pool.call(1)

    run(test)


def test_those_who_wait_leave_two_workers_to_the_others() -> None:
    async def test(pool: Pool, _: list[str]) -> None:
        waiting = asyncio.create_task(pool.call_and_wait("sleep"))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.call_and_wait("sleep")
        assert (await pool.call(1))["event"] == 1
        pool.wake()
        await waiting
        assert (await pool.call_and_wait(2))["event"] == 2

    run(test, size=3)


def test_a_worker_that_dies_is_told_and_replaced() -> None:
    async def test(pool: Pool, _: list[str]) -> None:
        before = (await pool.call(1))["pid"]
        with pytest.raises(WorkerDiedError):
            await pool.call("die")
        assert (await pool.call(1))["pid"] != before
        for worker in pool._workers:
            worker._process.kill()
            await worker._process.wait()
        await pool.call(1)

    run(test)


def test_an_event_that_is_given_up_takes_its_worker_along() -> None:
    async def test(pool: Pool, _: list[str]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.call("sleep"), 3)
        assert (await pool.call(5))["event"] == 5

    run(test, size=1)


def test_notices_and_large_answers_pass() -> None:
    async def test(pool: Pool, notices: list[str]) -> None:
        assert (await pool.call("submit"))["event"] == "submit"
        assert notices == ["!"]
        assert len((await pool.call(8_000_000))["size"]) == 8_000_000

    run(test)


def test_workers_that_do_not_start_are_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "START_SECONDS", 1.0)
    monkeypatch.setattr(worker_pool, "PATIENCE_SECONDS", 0.1)

    async def test(pool: Pool, _: list[str]) -> None:
        with pytest.raises(BusyError):
            await pool.call(1)

    run(test, program="raise SystemExit(1)")
