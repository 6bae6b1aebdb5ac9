"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """Implements `jobs.ports.Clock`."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
