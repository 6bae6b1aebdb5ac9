"""The processes that run the handlers of lambda/: one event at a time each, which is all that Lambda promises them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, cast

LINE_BYTES = 2**26
"""Longest answer of a function: Lambda's own limit is 6 MB."""
PATIENCE_SECONDS = 1.0
"""How long an event waits for a busy worker."""
START_SECONDS = 20.0
"""How long it waits for one that starts."""

_log = logging.getLogger(__name__)


class BusyError(Exception):
    """Every worker has an event in its hands."""


class WorkerDiedError(Exception):
    """The worker ended before it answered."""


class Worker:
    """One process. A line of JSON on its standard input is an event, a line on its standard output is an answer."""

    def __init__(self, process: asyncio.subprocess.Process, on_submit: Callable[[], None]) -> None:
        self._process = process
        self._stdin = cast(asyncio.StreamWriter, process.stdin)
        self._stdout = cast(asyncio.StreamReader, process.stdout)
        self._on_submit = on_submit

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> None:
        """Returns when the handlers are loaded; raises WorkerDiedError."""
        await self._message()

    async def call(self, event: Any) -> Any:
        """The handler's answer. Raises WorkerDiedError."""
        self._send({"event": event})
        while "answer" not in (message := await self._message()):
            self._on_submit()
        return message["answer"]

    def wake(self) -> None:
        """Ends the sleep of a handler that waits for a job."""
        self._send({"wake": True})

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _message(self) -> Any:
        line = await self._stdout.readline()
        if not line:
            raise WorkerDiedError
        return json.loads(line)

    def _send(self, message: Any) -> None:
        if not self._stdin.is_closing():
            self._stdin.write(json.dumps(message).encode() + b"\n")


async def start_worker(
    command: Sequence[str], variables: Mapping[str, str], log: IO[bytes], on_submit: Callable[[], None]
) -> Worker:
    """Starts `command` and waits until it can take an event. Terminal signals do not reach it: `up` stops it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env=variables,
        limit=LINE_BYTES,
        start_new_session=True,
    )
    worker = Worker(process, on_submit)
    await worker.ready()
    return worker


class Pool:
    """At most `size` workers, started when they are needed, the warmest first."""

    def __init__(self, start: Callable[[], Awaitable[Worker]], size: int = 8) -> None:
        self._start, self._size, self._waiting = start, size, 0
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()
        self._workers: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def call_and_wait(self, event: Any) -> Any:
        """For events that may wait for a job: two workers are left to the others. Raises as `call` does."""
        if self._waiting >= self._size - 2:
            raise BusyError
        self._waiting += 1
        try:
            return await self.call(event)
        finally:
            self._waiting -= 1

    async def call(self, event: Any) -> Any:
        """The answer to one event. Raises BusyError or WorkerDiedError."""
        worker = await self._take()
        try:
            answer = await worker.call(event)
        except BaseException:
            await self._drop(worker)
            raise
        self._idle.put_nowait(worker)
        return answer

    def wake(self) -> None:
        """A job ended: whoever waits for one looks again."""
        for worker in self._workers:
            worker.wake()

    async def add(self) -> None:
        """Starts one more worker. Raises WorkerDiedError or OSError where it does not start."""
        worker = await self._start()
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    async def stop(self) -> None:
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, *(worker.stop() for worker in self._workers), return_exceptions=True)

    def _grow(self) -> None:
        if len(self._workers) + len(self._starting) < self._size:
            task = asyncio.create_task(self._try_to_add())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _try_to_add(self) -> None:
        try:
            await self.add()
        except (OSError, WorkerDiedError) as error:
            _log.error("a worker did not start: %r", error)

    async def _take(self) -> Worker:
        while True:
            worker = await self._next() if self._idle.empty() else self._idle.get_nowait()
            if worker.alive:
                return worker
            await self._drop(worker)

    async def _next(self) -> Worker:
        self._grow()
        try:
            return await asyncio.wait_for(self._idle.get(), START_SECONDS if self._starting else PATIENCE_SECONDS)
        except TimeoutError:
            raise BusyError from None

    async def _drop(self, worker: Worker) -> None:
        self._workers.discard(worker)
        await worker.stop()
