"""The cloud's clock, and durations of jobs."""

from __future__ import annotations

import time

from jobs.ports import Clock
from jobs.records import Record


class SystemClock:
    """Implements `jobs.ports.Clock` where functions on many machines share the work."""

    def now(self) -> float:
        return time.time()

    def arrival(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def elapsed(clock: Clock, record: Record) -> float:
    """Return the seconds since the job was accepted, never negative.

    After a restart of the machine its steady clock begins again; then the wall clock counts.
    """
    if record.steady_at is not None and (seconds := clock.steady() - record.steady_at) >= 0:
        return seconds
    return max(0.0, clock.now() - record.created_at)


def end_time(clock: Clock, record: Record) -> float:
    """Return the `completed_at` of a job that ends now, so that it and the job's duration agree."""
    return record.created_at + elapsed(clock, record)
