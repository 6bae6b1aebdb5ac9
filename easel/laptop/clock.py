"""The clock of lambda/jobs/ports.py on one machine."""

from __future__ import annotations

import threading
import time


class WakefulClock:
    """Sleeps until it is time, or until somebody calls `wake`: a job ended, and who waits for one should look."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()
