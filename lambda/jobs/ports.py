"""The interfaces through which the API reaches the outside: store, endpoint, predictor and clock.

The cloud (`lambda/aws/`), the laptop (`easel/laptop/`) and the tests implement them. Implementations raise every
failure as an `EaselError` with a code of `contract.ERRORS`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_INFERENCE_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{44})", re.ASCII)


LAST_SECOND = 253_402_300_799
"""Seconds from 1970 to the end of the year 9999, the last that a datetime holds."""


@dataclass(frozen=True)
class Ticket:
    """Identifies one job: the owner (16 hex digits) and the job id (44 hex digits). Store keys contain nothing else of
    a request."""

    owner: str
    id: str

    @property
    def created_at(self) -> float:
        """Seconds since 1970, as the id says."""
        return min((2**48 - 1 - int(self.id[:12], 16)) / 1000, LAST_SECOND)

    @property
    def inference_id(self) -> str:
        """The job's name in SageMaker and in the container's log."""
        return f"{self.owner}-{self.id}"

    @classmethod
    def parse(cls, inference_id: str) -> Ticket | None:
        """Inverse of `inference_id`. Return None for any other text."""
        match = _INFERENCE_ID.fullmatch(inference_id)
        return cls(match[1], match[2]) if match else None

    def key(self, name: str) -> str:
        """Return the store key of one of the job's objects, for example of `request.json`."""
        return f"jobs/{self.owner}/{self.id}/{name}"


class Store(Protocol):
    """Small objects under keys like `jobs/<owner>/<id>/job.json`.

    Reads return the last completed write of any process, never a part of a write. Keys are made by the API only and
    never contain `..` or a leading slash.
    """

    def read(self, key: str) -> bytes | None:
        """Return the object, or None if it does not exist."""

    def create(self, key: str, body: bytes) -> bool:
        """Write the object if it does not exist, atomically across processes. Return whether it was written."""

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        """Write or replace the object."""

    def delete(self, key: str) -> None:
        """Delete the object. No error if it does not exist."""

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        """Return the first `limit` names directly below `prefix`, ascending, without prefix and closing slash.

        `prefix` ends with `/`: `list("jobs/<owner>/", 2)` returns the two newest job ids.
        """

    def link(self, key: str, seconds: int) -> str:
        """Return a URL that lets anyone GET this object for `seconds`: absolute, or relative to the API's base URL.

        The object need not exist.
        """


@dataclass(frozen=True)
class Submission:
    """Store keys at which the endpoint will put the container's response, or the text of the endpoint's own failure.

    None: the response is not put into the store. A worker calls `JobReporter.finish` or `fail` instead.
    """

    output: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Progress:
    """Steps of the running job. `preview`: base64 of a small JPEG file, if the endpoint `has_previews`."""

    step: int
    steps: int
    preview: str | None = None


@dataclass(frozen=True)
class EndpointState:
    """The endpoint's ability to run jobs.

    `status`: `ready`, `asleep` (the next job starts an instance), `starting` or `broken` (an operator must act).
    `detail`: a sentence for people. `wake_minutes`: usual time until the endpoint is ready (from, to).
    `busy_seconds`: about how long the jobs that run and wait take together; None: unknown.
    """

    status: str
    detail: str = ""
    wake_minutes: tuple[int, int] | None = None
    busy_seconds: int | None = None


class Endpoint(Protocol):
    """Runs jobs."""

    reports_start: bool
    """Whether workers call `JobReporter.start`, so that a job without it is known to be waiting."""
    has_previews: bool
    """Whether `progress` can contain a preview."""
    stops_jobs: bool
    """Whether `stop` ends a running job."""

    def submit(self, ticket: Ticket) -> Submission:
        """Queue the job whose input is the object `ticket.key("request.json")`. Returns at once.

        After a crash the same ticket can be submitted once more. An endpoint that recognises it (a queue keyed by
        `inference_id`) runs the job once.
        """

    def progress(self, ticket: Ticket) -> Progress | None:
        """Return the progress of a running job, or None if it does not run or is unknown. Never raises."""

    def stop(self, ticket: Ticket) -> None:
        """Stop generating the job if it runs and the endpoint `stops_jobs`. Returns at once; never raises."""

    def state(self) -> EndpointState:
        """Return the state. Cheap: implementations cache it for some seconds."""


class Predictor(Protocol):
    """Calls the container and waits for its response."""

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        """Return the container's response to `body` (JSON), unchanged."""


class WebhookQueue(Protocol):
    """Events of jobs that wait for their delivery."""

    def put(self, ticket: Ticket, event: str) -> None:
        """Add an event. It may be added twice: then it is delivered once, or rarely twice with the same id."""


class Clock(Protocol):
    """Time. Tests replace it."""

    def now(self) -> float:
        """Return the seconds since 1970. People set this clock, so it may jump."""

    def arrival(self) -> float:
        """Return the seconds since 1970 for the id of a new job. On one machine each is later than all before it."""

    def steady(self) -> float:
        """Return the seconds on the steadiest clock that all processes of the service share, to measure durations.

        On one machine: since it started, whatever the time is set to. In the cloud: the seconds since 1970.
        """

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
