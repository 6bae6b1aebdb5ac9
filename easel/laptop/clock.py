"""The clock of lambda/jobs/ports.py for a handler on this machine."""

from __future__ import annotations

import threading
import time

from contract import EaselError

_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock of Linux, or else of macOS, that cannot be set and also runs while the machine sleeps."""
_BEGAN = time.time() - time.clock_gettime(_RUNNING)
MAX_AHEAD_SECONDS = 366 * 24 * 3600


def now() -> float:
    """Return the seconds since 1970: the time of the start, plus what has passed since.

    It ignores later changes of the machine's clock, so durations, the order of jobs and expiry stay right.
    """
    return _BEGAN + time.clock_gettime(_RUNNING)


class Arrivals:
    """Times for the ids of new jobs: each later than the one before, also where the clock went back over a restart."""

    def __init__(self) -> None:
        self._last_ms, self._lock = 0, threading.Lock()

    def start_after(self, seconds: float) -> None:
        """Count from the newest job of an earlier run, unless its clock was wrong by more than `MAX_AHEAD_SECONDS`."""
        if seconds < now() + MAX_AHEAD_SECONDS:
            self._last_ms = max(self._last_ms, int(seconds * 1000))

    def next(self) -> float:
        with self._lock:
            self._last_ms = max(int(now() * 1000), self._last_ms + 1)
            return (self._last_ms + 0.5) / 1000  # as a float, the whole millisecond could be rounded down


ARRIVALS = Arrivals()
"""Those of this process."""


class InterruptibleClock:
    """A clock whose `sleep` ends early when a job ends or the service stops. One thread sleeps at a time."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()
        self._stopped = False

    def now(self) -> float:
        return now()

    def arrival(self) -> float:
        return ARRIVALS.next()

    def steady(self) -> float:
        return time.clock_gettime(_RUNNING)

    def sleep(self, seconds: float) -> None:
        """Wait `seconds`, or until `wake`. Raises EaselError after `stop`."""
        self._interrupted.wait(seconds)
        self._interrupted.clear()
        if self._stopped:
            raise EaselError("upstream_unavailable", "Easel is stopping", hint="Send the request to a running Easel.")

    def wake(self) -> None:
        """End the current sleep, or else the next one."""
        self._interrupted.set()

    def stop(self) -> None:
        """Make the current and every later sleep raise."""
        self._stopped = True
        self.wake()
