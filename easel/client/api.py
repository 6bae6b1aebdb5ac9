"""The routes of the API as steps: what is sent, when it is sent again, and what the response may be."""

from __future__ import annotations

import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from easel.client.connection import host_of, is_local
from easel.client.contract import dumps
from easel.client.errors import (
    InvalidResponseError,
    JobCancelledError,
    JobFailedError,
    UsageError,
    WaitTimeoutError,
)
from easel.client.responses import (
    IMAGE_BYTES,
    JSON_BYTES,
    Health,
    JobList,
    JobState,
    Model,
    ModelList,
    check_image,
    parse,
    parse_job,
)
from easel.client.results import Generation, Image, Progress
from easel.client.steps import Pause, Send, Steps, send
from easel.console.hosts import KEY_PATTERN
from easel.console.printable import printable

DEFAULT_URL = "http://127.0.0.1:7860"
SUBMIT_PAUSES = (1.0, 3.0)
POLL_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts. A submission carries an idempotency key, so that a second attempt makes no second job."""
RESPONSE_SECONDS, CANCEL_SECONDS = 120.0, 15.0
"""Longest time for a whole response, and for that to a cancellation: somebody waits for the command to end."""
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.2, 2.0
"""Time between two polls of a job: shortest while it runs, growing while it waits."""

T = TypeVar("T")


class Api:
    """The steps of each route of one API. `url` is the base of its routes. All steps raise EaselError."""

    def __init__(self, url: str | None, key: str | None, seconds: float | None) -> None:
        self.url = (url or os.environ.get("EASEL_URL") or DEFAULT_URL).rstrip("/")
        key = os.environ.get("EASEL_KEY") if key is None else key
        _check(self.url, key)
        if seconds is not None and not seconds > 0:
            raise UsageError("timeout is not positive", where="timeout", hint="Use seconds, or None for the default.")
        self._key = {"x-api-key": key} if key else {}
        self._seconds = seconds
        if key and self.url.startswith("http:") and not is_local(host_of(self.url)):
            text = f"{printable(self.url)} is not HTTPS. Others in the network can read the API key."
            warnings.warn(text, stacklevel=3)

    # --- jobs ------------------------------------------------------------------------------------

    def submit(self, request: Mapping[str, Any], idempotency_key: str | None = None) -> Steps[JobState]:
        """Create a job and return it. However often this is sent, the key makes it one job."""
        key = idempotency_key or uuid.uuid4().hex
        if not re.fullmatch(KEY_PATTERN, key) or len(key) > 255:
            raise UsageError("The idempotency key is not valid", hint="Use 1 to 255 printable ASCII characters.")
        try:
            body = dumps(request).encode()
        except (ValueError, TypeError, RecursionError):
            hint = "Use valid Unicode text and finite numbers."
            raise UsageError("The request cannot be sent", detail="it is not valid JSON", hint=hint) from None
        headers = {"idempotency-key": key, "content-type": "application/json"}
        return (yield from self._call("POST", "/jobs", parse_job, SUBMIT_PAUSES, headers=headers, content=body))

    def job(self, id: str) -> Steps[JobState]:
        return (yield from self._call("GET", _job_path(id), _parse_job_of(id), POLL_PAUSES))

    def cancel(self, id: str) -> Steps[JobState]:
        return (yield from self._call("DELETE", _job_path(id), _parse_job_of(id), (), seconds=CANCEL_SECONDS))

    def recent(self, limit: int | None) -> Steps[list[JobState]]:
        """Return the newest jobs, newest first. `limit`: their largest number, or the API's default."""
        query = "" if limit is None else f"?limit={int(limit)}"
        found = yield from self._call("GET", f"/jobs{query}", lambda body: parse(JobList, body), POLL_PAUSES)
        return found.jobs

    def watch(self, state: JobState, timeout: float | None) -> Steps[JobState]:
        """Yield the progress of a job after each poll, and return it once it has ended. Raises WaitTimeoutError."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = MIN_POLL_SECONDS
        while not state.ended:
            yield Progress.of(state)
            if end is not None and timeout is not None and time.monotonic() + pause > end:
                raise WaitTimeoutError(timeout, state.id)
            yield Pause(pause)
            pause = MIN_POLL_SECONDS if state.progress else min(pause * 1.2, MAX_POLL_SECONDS)
            state = yield from self.job(state.id)
        return state

    def result(self, state: JobState) -> Steps[Generation]:
        """Return the images of a job that has ended. Raises JobError if it has none."""
        if state.status == "failed":
            raise JobFailedError("The job failed", state)
        if state.status != "succeeded":
            raise JobCancelledError("The job was cancelled", state)
        images = []
        for i, link in enumerate(state.images):
            images.append(Image.of(state, i, link, (yield from self.image(link.url, link.media_type))))
        parameters = state.parameters.model_dump()
        return Generation(state.id, tuple(images), parameters, state.timings, tuple(state.warnings))

    def image(self, link: str, media_type: str) -> Steps[bytes]:
        """Return the file behind a signed link. The API key is not sent, since the link may lead to another host.

        Another host must be reached by HTTPS. A link to this machine is followed only for an API on this machine.
        """
        try:
            request = Send("GET", _checked_link(link, self.url), IMAGE_BYTES, self._seconds or RESPONSE_SECONDS)
            response = yield from send(request, POLL_PAUSES)
            check_image(response.body, media_type)
        except InvalidResponseError as error:
            error.where = error.where or self.url
            raise
        return response.body

    # --- the service -----------------------------------------------------------------------------

    def models(self, pauses: Sequence[float] | None = None) -> Steps[list[Model]]:
        """Return the models. `pauses`: seconds between attempts."""
        pauses = POLL_PAUSES if pauses is None else pauses
        found = yield from self._call("GET", "/models", lambda body: parse(ModelList, body), pauses)
        return found.models

    def health(self) -> Steps[Health]:
        return (yield from self._call("GET", "/health", lambda body: parse(Health, body), POLL_PAUSES))

    def _call(
        self,
        method: str,
        path: str,
        parse_body: Callable[[bytes], T],
        pauses: Sequence[float],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        seconds: float | None = None,
    ) -> Steps[T]:
        """Send a request with the API key, and parse the response."""
        seconds = seconds or self._seconds or RESPONSE_SECONDS
        headers = {**self._key, **(headers or {})}
        request = Send(method, self.url + path, JSON_BYTES, seconds, headers, content)
        try:
            response = yield from send(request, pauses)
            return parse_body(response.body)
        except InvalidResponseError as error:
            error.where = error.where or self.url
            raise


def _job_path(id: str) -> str:
    if not re.fullmatch("[0-9a-f]{44}", id, re.ASCII):
        raise UsageError("This is no id of a job", detail=f"{id[:80]!r} has not 44 hexadecimal digits", where="id")
    return f"/jobs/{id}"


def _parse_job_of(id: str) -> Callable[[bytes], JobState]:
    def parse_body(body: bytes) -> JobState:
        state = parse_job(body)
        if state.id != id:
            raise InvalidResponseError("the response is another job")
        return state

    return parse_body


def _check(url: str, key: str | None) -> None:
    """Refuse a URL or an API key that no HTTP request can contain."""
    try:
        httpx.Request("GET", url)
        host_of(url).encode("idna")
        if key and not re.fullmatch(KEY_PATTERN, key):
            raise ValueError("key")
    except UsageError:
        raise
    except (httpx.InvalidURL, ValueError):
        raise UsageError(
            "The URL or the API key is not valid",
            detail="an HTTP request cannot contain it",
            hint="Use a URL like http://127.0.0.1:7860 and a key of ASCII characters, without spaces around it.",
            where="base_url, api_key",
        ) from None


def _checked_link(link: str, api_url: str) -> str:
    """Return the absolute form of a server's link, which may lead anywhere. Raises InvalidResponseError."""
    try:
        url, api = httpx.URL(f"{api_url}{link}" if link.startswith("/") else link), httpx.URL(api_url)
        url.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        raise InvalidResponseError("the link of an image is not a URL") from None
    same_origin = (url.scheme, url.host, url.port) == (api.scheme, api.host, api.port)
    local = is_local(url.host) and is_local(api.host) and url.scheme in ("http", "https")
    elsewhere = url.scheme == "https" and url.host and not is_local(url.host)
    if not (same_origin or local or elsewhere):
        raise InvalidResponseError("the link of an image is not HTTPS, or leads to this machine")
    return str(url)
