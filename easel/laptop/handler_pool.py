"""Threads that run the API's function. A handler takes one request at a time, so each thread borrows its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from easel.laptop.clock import InterruptibleClock

BUSY_SECONDS = 1.0
"""Time that a request waits for a free handler."""
KEPT_FREE = 2
"""Handlers that stay free for requests that do not wait for a job."""

Handler = Callable[[Any], Any]


class BusyError(Exception):
    """Raised when no handler is free."""


class HandlerPool:
    """A pool of `size` handlers, each with its own clock. The methods are for one event loop."""

    def __init__(self, make_handler: Callable[[InterruptibleClock], Handler], size: int = 8) -> None:
        self._make_handler, self._size, self._waiting, self._stopped = make_handler, size, 0, False
        self._clocks = [InterruptibleClock() for _ in range(size)]
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="handler")
        self._idle: asyncio.LifoQueue[Handler] = asyncio.LifoQueue()

    async def start(self) -> None:
        """Make the handlers. Raises what their modules raise on import."""
        for handler in await asyncio.to_thread(lambda: [self._make_handler(clock) for clock in self._clocks]):
            self._idle.put_nowait(handler)

    async def call_and_wait(self, event: Any) -> Any:
        """Return the response to an event that may wait for a job. Raises BusyError."""
        if self._waiting >= self._size - KEPT_FREE:
            raise BusyError
        self._waiting += 1
        try:
            return await self.call(event)
        finally:
            self._waiting -= 1

    async def call(self, event: Any) -> Any:
        """Return the response to an event. Raises BusyError.

        A handler whose caller is cancelled runs to its end before it takes another event.
        """
        try:
            async with asyncio.timeout(BUSY_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                handler = await self._idle.get()
        except TimeoutError:
            raise BusyError from None
        if self._stopped:
            raise BusyError
        response = asyncio.get_running_loop().run_in_executor(self._threads, handler, event)
        response.add_done_callback(lambda _: self._idle.put_nowait(handler))
        return await asyncio.shield(response)

    def wake(self) -> None:
        """Make handlers that wait for a job look again."""
        for clock in self._clocks:
            clock.wake()

    def stop(self) -> None:
        """End handlers that wait for a job, and take no more events."""
        self._stopped = True
        for clock in self._clocks:
            clock.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
