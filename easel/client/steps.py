"""The client's work as steps: requests and pauses, which the sync and the async client perform in their own way.

A generator yields what is to be done and receives the response, so that retries, parsing and bounds exist once.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar, cast

import httpx

from easel.client.connection import refuse_connection
from easel.client.errors import BY_STATUS, ApiError, BadRequestError, ServerError
from easel.client.responses import Problem, parse_problem
from easel.client.results import Progress

MAX_RETRY_AFTER = 60.0
"""Longest wait, in seconds, that a server can ask for. If it wants more, the error is raised at once."""
RETRY_STATUSES = (408, 429, 502, 503, 504)
"""Statuses after which the same request is sent again, unless the response says that it is of no use."""
KEY_HINT = "Set the API key: api_key or EASEL_KEY. To get the key of a deployment: easel outputs --export"
"""Replaces the API's own hint, which is for programs."""
_NOT_EASEL = (301, 302, 307, 308, 404, 405, 501)
"""Statuses of a server that has no /jobs."""

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """One HTTP request. `limit`: most bytes of the response's body. `seconds`: longest time for the whole response."""

    method: str
    url: str
    limit: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Pause:
    """Seconds in which nothing is done."""

    seconds: float


@dataclass(frozen=True)
class Response:
    """A response with its whole body. `where`: method and URL, without the query, which may hold a signature."""

    where: str
    status: int
    reason: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Steps = Generator[Send | Pause | Progress, Response | None, T]


class Execution(Generic[T]):
    """Runs steps: perform `step`, hand back what it gave with `resume`, until `done`; then `result` is there."""

    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps, self.done = steps, False
        self.step: Send | Pause | Progress
        self.resume()

    def resume(self, response: Response | None = None, error: Exception | None = None) -> None:
        """Go on with the response of a request, or with its error."""
        try:
            self.step = self._steps.throw(error) if error else self._steps.send(response)
        except StopIteration as end:
            self.result, self.done = end.value, True


def send(request: Send, pauses: Sequence[float]) -> Steps[Response]:
    """Send a request, again after each of `pauses` if that may help, and return the response. Raises EaselError.

    The caller makes sure that the same request may be sent twice.
    """
    for pause in (*pauses, None):
        seconds: float | None
        try:
            response = cast(Response, (yield request))
        except httpx.TransportError as error:
            if pause is None or (isinstance(error, httpx.ConnectError) and request.method == "POST"):
                raise refuse_connection(request.url, error) from None
            seconds = _vary(pause)
        else:
            if 200 <= response.status < 300:
                return response
            seconds = None if pause is None else _seconds_until_retry(response, pause)
            if seconds is None:
                raise api_error(response)
        yield Pause(seconds)
    raise AssertionError


def api_error(response: Response) -> ApiError:
    """Return the error of a response."""
    problem, status = parse_problem(response.body), response.status
    kind = BY_STATUS.get(status, BadRequestError if status < 500 else ServerError)
    return kind(
        problem.title or f"The API responded with status {status}",
        detail=problem.detail or response.reason,
        hint=_hint(status, problem),
        where=" · ".join([response.where, *problem.params]),
        code=problem.code,
        param=problem.params[0] if problem.params else None,
        status=status,
        retryable=_is_retryable(response),
        retry_after=_retry_after(response),
        request_id=problem.request_id or response.headers.get("x-request-id", "")[:200],
    )


def _hint(status: int, problem: Problem) -> str:
    if status == 401:
        return KEY_HINT
    if problem.hint:
        return problem.hint
    if status == 403:
        return KEY_HINT
    return "Check base_url." if status in _NOT_EASEL and not problem.code else ""


def _is_retryable(response: Response) -> bool:
    """Return whether the same request may be sent again. `x-should-retry` decides, if the response has it."""
    header = response.headers.get("x-should-retry", "").lower()
    if header in ("true", "false"):
        return header == "true"
    return response.status in RETRY_STATUSES and parse_problem(response.body).retryable


def _seconds_until_retry(response: Response, pause: float) -> float | None:
    """Return the seconds after which to send the request again: those of the server, or about `pause`; None: never."""
    if not _is_retryable(response):
        return None
    after = _retry_after(response)
    if after is None:
        return _vary(pause)
    return after if after <= MAX_RETRY_AFTER else None


def _retry_after(response: Response) -> float | None:
    """Return the seconds of the header Retry-After, which may be a number or a date."""
    text = response.headers.get("retry-after", "").strip()[:100]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _vary(seconds: float) -> float:
    """Return a little more or less, so that clients that failed together do not come back together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311
