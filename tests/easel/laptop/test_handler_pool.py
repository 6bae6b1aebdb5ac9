"""The pool of handlers, with handlers that do what the event says."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from contract import EaselError
from easel.laptop import handler_pool
from easel.laptop.clock import InterruptibleClock
from easel.laptop.handler_pool import BusyError, Handler, HandlerPool
from gateway.events import Request, Response
from gateway.router import Route, Router
from gateway.service import Service
from gateway.telemetry import Telemetry

Test = Callable[[HandlerPool], Awaitable[None]]


def make_handler(clock: InterruptibleClock) -> Handler:
    busy = threading.Lock()

    def handle(event: Any) -> Any:
        assert busy.acquire(blocking=False), "two events at a time"
        try:
            if event == "sleep":
                clock.sleep(30)
        except EaselError as error:
            return error.code
        finally:
            busy.release()
        return event, id(clock)

    return handle


def run(test: Test, size: int = 2, make: Callable[[InterruptibleClock], Handler] = make_handler) -> None:
    """Run `test` with a pool."""

    async def running() -> None:
        pool = HandlerPool(make, size)
        await pool.start()
        try:
            await test(pool)
        finally:
            pool.stop()

    asyncio.run(asyncio.wait_for(running(), 60))


async def all_busy(pool: HandlerPool) -> None:
    while not pool._idle.empty():
        await asyncio.sleep(0.01)


def test_a_handler_has_one_event_at_a_time() -> None:
    async def test(pool: HandlerPool) -> None:
        asleep = asyncio.create_task(pool.call("sleep"))
        await asyncio.sleep(0)
        _, other = await pool.call(1)
        assert (await pool.call(2))[1] == other
        pool.wake()
        assert (await asleep)[1] != other

    run(test)


def test_a_full_pool_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_pool, "BUSY_SECONDS", 0.1)

    async def test(pool: HandlerPool) -> None:
        asleep = [asyncio.create_task(pool.call("sleep")) for _ in range(2)]
        await all_busy(pool)
        with pytest.raises(BusyError):
            await pool.call(1)
        pool.wake()
        await asyncio.gather(*asleep)
        await pool.call(1)

    run(test)


def test_waiting_events_leave_two_handlers_free() -> None:
    async def test(pool: HandlerPool) -> None:
        waiting = asyncio.create_task(pool.call_and_wait("sleep"))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.call_and_wait("sleep")
        assert (await pool.call(1))[0] == 1
        pool.wake()
        await waiting
        assert (await pool.call_and_wait(2))[0] == 2

    run(test, size=3)


def test_a_refused_event_learns_when_a_handler_is_usually_free() -> None:
    async def test(pool: HandlerPool) -> None:
        async def refusal() -> int:
            with pytest.raises(BusyError) as busy:
                await pool.call_and_wait("sleep")
            return busy.value.seconds

        first = asyncio.create_task(pool.call_and_wait("sleep"))
        await asyncio.sleep(0.01)
        assert await refusal() == handler_pool.UNKNOWN
        pool.wake()
        await first
        pool._took.extend([9.0, 20.5, 0.1])
        second = asyncio.create_task(pool.call_and_wait("sleep"))
        await asyncio.sleep(0.01)
        assert 18 <= await refusal() <= 21
        pool._waiting[0] -= 1000
        assert await refusal() == 1
        pool._waiting[0] += 1000
        second.cancel()

    run(test, size=3)


def test_the_handler_of_a_cancelled_event_is_used_again_only_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_pool, "BUSY_SECONDS", 0.1)

    async def test(pool: HandlerPool) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.call("sleep"), 0.1)
        with pytest.raises(BusyError):
            await pool.call(5)
        monkeypatch.setattr(handler_pool, "BUSY_SECONDS", 20)
        pool.wake()
        assert (await pool.call(5))[0] == 5

    run(test, size=1)


def test_stop_ends_waiting_handlers() -> None:
    started = threading.Event()

    def make(clock: InterruptibleClock) -> Handler:
        handle = make_handler(clock)

        def note_start(event: Any) -> Any:
            started.set()
            return handle(event)

        return note_start

    async def test(pool: HandlerPool) -> None:
        asleep = asyncio.create_task(pool.call("sleep"))
        await asyncio.to_thread(started.wait)
        began = time.monotonic()
        pool.stop()
        assert await asleep == "upstream_unavailable"
        assert time.monotonic() - began < 20, "the handler would sleep for 30 s"
        with pytest.raises(BusyError):
            await pool.call(1)

    run(test, make=make)


def test_stop_refuses_an_event_that_no_thread_has_taken() -> None:
    release = threading.Event()

    async def test(pool: HandlerPool) -> None:
        pool._threads.submit(release.wait)
        waiting = asyncio.create_task(pool.call(1))
        while not pool._threads._work_queue.qsize():
            await asyncio.sleep(0.01)
        pool.stop()
        with pytest.raises(BusyError):
            await waiting
        release.set()

    run(test, size=1)


def test_a_handler_that_cannot_be_made_is_an_error_of_start() -> None:
    def make(clock: InterruptibleClock) -> Handler:
        raise ImportError("broken")

    async def test(pool: HandlerPool) -> None: ...

    with pytest.raises(ImportError):
        run(test, make=make)


class Echo:
    """An API whose one route returns the path that it was called with."""

    def routes(self) -> list[Route]:
        return [Route("GET", "/echo/<id>", self.echo)]

    def echo(self, request: Request, id: str) -> Response:
        return Response(200, f"{request.path} {id}")


def test_threads_do_not_mix_up_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Powertools keeps the current event in a class attribute. A pause before it reads the event provokes a mix-up."""
    monkeypatch.setattr(handler_pool, "BUSY_SECONDS", 50)
    resolve = APIGatewayRestResolver._resolve

    def resolve_late(self: APIGatewayRestResolver) -> Any:
        time.sleep(0.002)
        return resolve(self)

    monkeypatch.setattr(APIGatewayRestResolver, "_resolve", resolve_late)

    def make(clock: InterruptibleClock) -> Handler:
        router = Router([Echo()])
        return Service(lambda: router, auth=lambda: "key", steady=clock.steady, telemetry=Telemetry(namespace=""))

    async def test(pool: HandlerPool) -> None:
        async def fetch(number: int) -> tuple[int, str]:
            context = {"authorizer": {"owner": "0" * 16}}
            event = {"httpMethod": "GET", "path": f"/echo/{number}", "headers": {}, "requestContext": context}
            response = await pool.call(event)
            return response["statusCode"], response["body"]

        numbers = range(100)
        assert await asyncio.gather(*map(fetch, numbers)) == [(200, f"/echo/{n} {n}") for n in numbers]

    run(test, size=8, make=make)
