"""HTTP client of the API, on a laptop or deployed."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx

from contract import dumps
from easel.client.connection import host_of, open_client, refuse_connection
from easel.client.deadline import call_within
from easel.client.responses import (
    IMAGE_BYTES,
    JSON_BYTES,
    InvalidResponseError,
    Job,
    Problem,
    check_image,
    parse_job,
    parse_problem,
)
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.laptop.settings import KEY_PATTERN, LOOPBACK

SUBMIT_PAUSES = (1.0, 3.0)
POLL_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts. A submission carries an idempotency key, so that a second attempt makes no second job."""
RESPONSE_SECONDS, CANCEL_SECONDS = 120.0, 15.0
"""Longest time for a whole response, and for that to a cancellation: somebody waits for the command to end."""
KEY_FIX = "Set the API key: --key or EASEL_KEY. To get the key of a deployment: easel outputs --export"
"""Replaces the API's own hint, which is for programs."""
_RETRYABLE = (429, 502, 503, 504)
_NOT_EASEL = (301, 302, 307, 308, 404, 405, 501)
"""Statuses of a server that has no /jobs."""
_EXIT_CODES = {401: ENVIRONMENT, 403: ENVIRONMENT, 404: FAILED, 429: FAILED}


@dataclass(frozen=True)
class _Response:
    """A response with its whole body. `where`: method and URL, without the query, which may hold a signature."""

    where: str
    status: int
    reason: str
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        return self.status in _RETRYABLE and parse_problem(self.body).retryable


class Api:
    """A client of one API. `url` is the base of its routes. Every method raises CommandError."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        _check(self.url, key)
        self._key = {"x-api-key": key} if key else {}
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}

    @property
    def exposes_key(self) -> bool:
        """Return whether the network between here and the API can read the key."""
        return bool(self._key) and self.url.startswith("http:") and host_of(self.url) not in LOOPBACK

    def submit(self, request: Mapping[str, Any]) -> Job:
        """Create a job and return it."""
        headers = {**self._key, "idempotency-key": uuid.uuid4().hex}
        try:
            body = dumps(request).encode()
        except ValueError:
            fix = "Use valid Unicode text and finite numbers."
            raise CommandError(
                "The request cannot be sent", where="the request", why="it is not valid JSON", fix=fix, code=USAGE
            ) from None
        headers["content-type"] = "application/json"
        return self._job("POST", "/jobs", SUBMIT_PAUSES, content=body, headers=headers)

    def job(self, id: str) -> Job:
        return self._job("GET", f"/jobs/{id}", POLL_PAUSES, headers=self._key)

    def cancel(self, id: str) -> Job:
        return self._job("DELETE", f"/jobs/{id}", (), headers=self._key, seconds=CANCEL_SECONDS)

    def image(self, link: str, media_type: str) -> bytes:
        """Return the file behind a signed link. The API key is not sent, since the link may lead to another host.

        Another host must be reached by HTTPS. A link to this machine is followed only for an API on this machine.
        """
        try:
            response = self._send("GET", _checked_link(link, self.url), POLL_PAUSES, IMAGE_BYTES)
            check_image(response.body, media_type)
        except InvalidResponseError as error:
            raise self._not_easel(error) from None
        return response.body

    def _job(self, method: str, path: str, pauses: Sequence[float], **options: Any) -> Job:
        try:
            job = parse_job(self._send(method, self.url + path, pauses, JSON_BYTES, **options).body)
            if method != "POST" and path != f"/jobs/{job.id}":
                raise InvalidResponseError("the response is another job")
        except InvalidResponseError as error:
            raise self._not_easel(error) from None
        return job

    def _not_easel(self, error: InvalidResponseError) -> CommandError:
        fix = "Check --url."
        return CommandError("This is not Easel", where=self.url, why=str(error), fix=fix, code=ENVIRONMENT)

    def _send(self, method: str, url: str, pauses: Sequence[float], limit: int, **options: Any) -> _Response:
        """Send a request, again after each of `pauses` if that may help. Raises InvalidResponseError: too large."""
        for pause in pauses:
            try:
                response = self._receive(method, url, limit, **options)
            except httpx.ConnectError as error:
                if method == "POST":
                    self._refuse(url, error)
            except httpx.TransportError:
                pass
            else:
                if not response.retryable:
                    return _checked(response)
            time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
        try:
            return _checked(self._receive(method, url, limit, **options))
        except httpx.TransportError as error:
            self._refuse(url, error)

    def _receive(self, method: str, url: str, limit: int, *, seconds: float = 0, **options: Any) -> _Response:
        """Send a request once and receive the response within `seconds`, or else RESPONSE_SECONDS."""
        client, seconds = self._client(url), seconds or RESPONSE_SECONDS
        try:
            return call_within(seconds, lambda: self._exchange(client, method, url, limit, **options))
        except TimeoutError:
            raise InvalidResponseError(f"the response takes longer than {seconds:.0f} seconds") from None

    def _exchange(self, client: httpx.Client, method: str, url: str, limit: int, **options: Any) -> _Response:
        """Send a request and read at most `limit` bytes, as they are sent: a compressed body could be a bomb."""
        options["headers"] = {**options.get("headers", {}), "accept-encoding": "identity"}
        body = bytearray()
        with client.stream(method, url, **options) as response:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit:
                    raise InvalidResponseError(f"the response is larger than {limit} bytes")
            where = f"{method} {response.request.url.copy_with(query=None)}"
            return _Response(where, response.status_code, response.reason_phrase, bytes(body))

    def _client(self, url: str) -> httpx.Client:
        kind = url.startswith("https:"), host_of(url) not in LOOPBACK
        if kind not in self._clients:
            self._clients[kind] = open_client(tls=kind[0], use_proxy=kind[1])
        return self._clients[kind]

    def _refuse(self, url: str, error: httpx.TransportError) -> NoReturn:
        raise refuse_connection(url, error) from None


def _check(url: str, key: str | None) -> None:
    """Refuse a URL or an API key that no HTTP request can contain."""
    try:
        httpx.Request("GET", url)
        host_of(url).encode("idna")
        if key and not re.fullmatch(KEY_PATTERN, key):
            raise ValueError(key)
    except (httpx.InvalidURL, ValueError):
        raise CommandError(
            "The URL or the API key is not valid",
            where="--url, --key",
            why="an HTTP request cannot contain it",
            fix="Use a URL like http://127.0.0.1:7860 and a key of ASCII characters, without spaces around it.",
            code=USAGE,
        ) from None


def _checked_link(link: str, api_url: str) -> str:
    """Return the absolute form of a server's link, which may lead anywhere. Raises InvalidResponseError."""
    try:
        url, api = httpx.URL(f"{api_url}{link}" if link.startswith("/") else link), httpx.URL(api_url)
        url.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        raise InvalidResponseError("the link of an image is not a URL") from None
    same_origin = (url.scheme, url.host, url.port) == (api.scheme, api.host, api.port)
    local = url.host in LOOPBACK and api.host in LOOPBACK and url.scheme in ("http", "https")
    elsewhere = url.scheme == "https" and url.host and url.host not in LOOPBACK
    if not (same_origin or local or elsewhere):
        raise InvalidResponseError("the link of an image is not HTTPS, or leads to this machine")
    return str(url)


def _checked(response: _Response) -> _Response:
    if response.ok:
        return response
    problem, status = parse_problem(response.body), response.status
    raise CommandError(
        problem.title or f"The API responded with status {status}",
        where=" · ".join([response.where, *problem.params]),
        why=problem.detail or response.reason,
        fix=_fix(status, problem),
        code=_EXIT_CODES.get(status, USAGE if status < 500 else FAILED),
    )


def _fix(status: int, problem: Problem) -> str:
    if status == 401:
        return KEY_FIX
    if problem.hint:
        return problem.hint
    if status == 403:
        return KEY_FIX
    return "Check --url." if status in _NOT_EASEL and not problem.code else ""
