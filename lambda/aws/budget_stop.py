"""An endpoint that takes no jobs while the month's budget is used up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from aws.errors import error_of
from aws.store import BucketStore
from contract import EaselError
from jobs.ports import Endpoint, EndpointState, Progress, Submission, Ticket

_CHECK_SECONDS = 5
"""Time for which the marker is cached."""


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
        self._cached: tuple[float, bytes | None] | None = None

    def submit(self, ticket: Ticket) -> Submission:
        if (marker := self._read_marker()) is not None:
            raise _over_budget(marker)
        return self._endpoint.submit(ticket)

    def progress(self, ticket: Ticket) -> Progress | None:
        return self._endpoint.progress(ticket)

    def stop(self, ticket: Ticket) -> None:
        self._endpoint.stop(ticket)

    def state(self) -> EndpointState:
        if (marker := self._read_marker()) is not None:
            error = _over_budget(marker)
            return EndpointState("broken", f"{error.message[0].upper()}{error.message[1:]}. {error.hint}")
        return self._endpoint.state()

    def _read_marker(self) -> bytes | None:
        if self._cached is None or self._now() - self._cached[0] > _CHECK_SECONDS:
            self._cached = (self._now(), self._store.read(self._marker))
        return self._cached[1]


def _over_budget(marker: bytes) -> EaselError:
    """Return the error with the limit and the day that the marker has; one of an older deploy may lack them."""
    usual = error_of("over_budget")
    try:
        found = json.loads(marker)
        limit, day = int(found["budget_usd"]), str(found["stopped_at"])[:10]
    except (ValueError, LookupError, TypeError):
        return usual
    message = f"the month's budget of {limit} USD was used up on {day}, so the service is stopped"
    return EaselError(usual.code, message, hint=usual.hint)
