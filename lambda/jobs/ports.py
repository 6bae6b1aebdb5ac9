"""What the API needs of the world outside: a store, an endpoint, a predictor and a clock.

Cloud (`aws.py`), laptop (`easel/`) and tests are adapters of equal standing. Adapters raise `EaselError` with a code of
`contract.ERRORS` and nothing else for what can go wrong out there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_INFERENCE_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{44})", re.ASCII)


@dataclass(frozen=True)
class Ticket:
    """Names one job: the owner's 16 hex digits and the job's 44. The store's keys are built from it alone."""

    owner: str
    id: str

    @property
    def inference_id(self) -> str:
        return f"{self.owner}-{self.id}"

    @classmethod
    def parse(cls, inference_id: str) -> Ticket | None:
        """The inverse of `inference_id`; None where the text is not one of ours."""
        match = _INFERENCE_ID.fullmatch(inference_id)
        return cls(match[1], match[2]) if match else None

    def key(self, name: str) -> str:
        """Where the job keeps `name`, for example `request.json`."""
        return f"jobs/{self.owner}/{self.id}/{name}"


class Store(Protocol):
    """Small objects under keys like `jobs/<owner>/<id>/job.json`. What was written is read back at once, whole or not
    at all, by every process. Keys come from the API alone and never hold `..` or a leading slash."""

    def read(self, key: str) -> bytes | None:
        """The object, or None where there is none."""

    def create(self, key: str, body: bytes) -> bool:
        """Writes where nothing is, atomically among all processes. False: something was there and still is."""

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        """Writes or replaces."""

    def delete(self, key: str) -> None:
        """Removes; no error where nothing is."""

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        """The names directly below `prefix`, which ends with `/`: ascending, at most `limit`, without the prefix and
        without a closing slash. `list("jobs/<owner>/", 2)` gives the two newest job ids."""

    def link(self, key: str, seconds: int) -> str:
        """A URL by which whoever has it can GET the object for `seconds`, and nothing else. Absolute, or a path
        relative to the API's base URL. The object need not exist."""


@dataclass(frozen=True)
class Submission:
    """Keys of the store where the endpoint will put the container's answer, or the text of a failure of its own.

    None where the endpoint's caller tells `Jobs.finish` or `Jobs.fail` instead of the store.
    """

    answer: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Progress:
    """Steps of the running call, and where the endpoint `shows_preview` how the picture looks so far: base64 of a
    small JPEG file."""

    step: int
    steps: int
    preview: str | None = None


@dataclass(frozen=True)
class EndpointState:
    """`status`: `ready`, `asleep` (it wakes when a job comes), `starting`, or `broken` (somebody must look).

    `detail` is a plain sentence for people, `wake_minutes` how long waking usually takes (from, to).
    """

    status: str
    detail: str = ""
    wake_minutes: tuple[int, int] | None = None


class Endpoint(Protocol):
    """Where jobs are drawn."""

    tells_start: bool
    """True where whoever runs a job calls `Jobs.start` first, so that nobody is in doubt whether it runs."""
    shows_preview: bool
    """True where `progress` may hold a preview."""

    def submit(self, ticket: Ticket) -> Submission:
        """Queues the call whose input is the object `ticket.key("request.json")`; returns at once.

        The same ticket can come again after a crash: once more is allowed, never more than two times in all. An
        endpoint that can tell (a queue keyed by `inference_id`) draws it once.
        """

    def progress(self, ticket: Ticket) -> Progress | None:
        """How far the call is; None where it does not run or nobody knows. Never raises."""

    def state(self) -> EndpointState:
        """What the endpoint does now. Cheap: adapters keep it for some seconds where asking costs."""


class Predictor(Protocol):
    """Calls the container and waits."""

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        """The container's answer to `body` (JSON), as it was sent."""


class Clock(Protocol):
    """Time, so that tests need none."""

    def now(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
