"""The clock of lambda/jobs/ports.py for a handler on this machine."""

from __future__ import annotations

import threading
import time

from contract import EaselError

_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock of Linux, or else of macOS, that cannot be set and also runs while the machine sleeps."""
_BEGAN = time.time() - time.clock_gettime(_RUNNING)


def now() -> float:
    """Return the seconds since 1970: the time of the start, plus what has passed since.

    It ignores later changes of the machine's clock, so durations, the order of jobs and expiry stay right.
    """
    return _BEGAN + time.clock_gettime(_RUNNING)


class InterruptibleClock:
    """A clock whose `sleep` ends early when a job ends or the service stops. One thread sleeps at a time."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()
        self._stopped = False

    def now(self) -> float:
        return now()

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
