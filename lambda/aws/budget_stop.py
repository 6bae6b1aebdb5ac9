"""An endpoint that takes no jobs while the month's budget is used up."""

from __future__ import annotations

import time
from collections.abc import Callable

from aws.errors import error_of
from aws.store import BucketStore
from jobs.ports import Endpoint, EndpointState, Progress, Submission, Ticket

_CHECK_SECONDS = 5
"""Time for which the marker's existence is cached."""


class StoppableEndpoint:
    """Implements `jobs.ports.Endpoint` by `endpoint`, unless the object `marker` is in the store.

    A function of the model stack creates the marker; `easel resume` deletes it.
    """

    def __init__(
        self, endpoint: Endpoint, store: BucketStore, marker: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoint, self._store, self._marker, self._now = endpoint, store, marker, now
        self.reports_start, self.has_previews = endpoint.reports_start, endpoint.has_previews
        self.stops_jobs = endpoint.stops_jobs
        self._cached: tuple[float, bool] | None = None

    def submit(self, ticket: Ticket) -> Submission:
        if self._is_stopped():
            raise error_of("over_budget")
        return self._endpoint.submit(ticket)

    def progress(self, ticket: Ticket) -> Progress | None:
        return self._endpoint.progress(ticket)

    def stop(self, ticket: Ticket) -> None:
        self._endpoint.stop(ticket)

    def state(self) -> EndpointState:
        if self._is_stopped():
            error = error_of("over_budget")
            return EndpointState("broken", f"{error.message[0].upper()}{error.message[1:]}. {error.hint}")
        return self._endpoint.state()

    def _is_stopped(self) -> bool:
        if self._cached is None or self._now() - self._cached[0] > _CHECK_SECONDS:
            self._cached = (self._now(), self._store.read(self._marker) is not None)
        return self._cached[1]
