"""Threads that run the API's function. A handler takes one request at a time, so each thread borrows its own."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from easel.laptop.clock import InterruptibleClock

BUSY_SECONDS = 1.0
"""Time that a request waits for a free handler."""
KEPT_FREE = 2
"""Handlers that stay free for requests that do not wait for a job."""

Handler = Callable[[Any], Any]


RECENT = 6
"""Responses by which the pool estimates when a handler will be free."""
SHORTEST, LONGEST, UNKNOWN = 1, 60, 5
"""Seconds: the range of the estimate, and what it is before the first response."""


class BusyError(Exception):
    """Raised when no handler is free. `seconds`: until one usually is."""

    def __init__(self, seconds: int = UNKNOWN) -> None:
        self.seconds = seconds


class HandlerPool:
    """A pool of `size` handlers, each with its own clock. The methods are for one event loop."""

    def __init__(self, make_handler: Callable[[InterruptibleClock], Handler], size: int = 8) -> None:
        self._make_handler, self._size, self._stopped = make_handler, size, False
        self._waiting, self._took = list[float](), deque[float](maxlen=RECENT)
        self._clocks = [InterruptibleClock() for _ in range(size)]
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="handler")
        self._idle: asyncio.LifoQueue[Handler] = asyncio.LifoQueue()

    async def start(self) -> None:
        """Make the handlers. Raises what their modules raise on import."""
        for handler in await asyncio.to_thread(lambda: [self._make_handler(clock) for clock in self._clocks]):
            self._idle.put_nowait(handler)

    async def call_and_wait(self, event: Any) -> Any:
        """Return the response to an event that may wait for a job. Raises BusyError."""
        if len(self._waiting) >= self._size - KEPT_FREE:
            raise BusyError(self._seconds_left())
        began = time.monotonic()
        self._waiting.append(began)
        try:
            response = await self.call(event)
            self._took.append(time.monotonic() - began)
            return response
        finally:
            self._waiting.remove(began)

    def _seconds_left(self) -> int:
        """Return when the oldest waiting event usually has its response, by the longest time of recent ones."""
        if not self._took:
            return UNKNOWN
        left = self._waiting[0] + max(self._took) - time.monotonic()
        return max(SHORTEST, min(LONGEST, math.ceil(left)))

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
        try:
            return await asyncio.shield(response)
        except asyncio.CancelledError:
            if response.cancelled():  # by `stop`, before a thread took it; the caller goes on
                raise BusyError from None
            raise

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
