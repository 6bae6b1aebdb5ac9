"""HTTP client of the API, on a laptop or deployed."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from contract import dumps
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.laptop.settings import KEY_PATTERN, LOOPBACK

SUBMIT_PAUSES = (1.0, 3.0)
POLL_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts. A submission carries an idempotency key, so that a second attempt makes no second job."""
JOB_FIELDS = {"id", "status", "message", "progress"}
"""Fields that every job has."""
KEY_FIX = "Set the API key: --key or EASEL_KEY. To get the key of a deployment: easel outputs --export"
"""Replaces the API's own hint, which is for programs."""
_RETRYABLE = (429, 502, 503, 504)
_NOT_EASEL = (301, 302, 307, 308, 404, 405, 501)
"""Statuses of a server that has no /jobs."""
_EXIT_CODES = {401: ENVIRONMENT, 403: ENVIRONMENT, 404: FAILED, 429: FAILED}


class Api:
    """`url` is the base of the API's routes. Every method raises CommandError."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        _check(self.url, key)
        self._key = {"x-api-key": key} if key else {}
        self._http = _open(use_proxy=_host(url) not in LOOPBACK)

    def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
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

    def job(self, id: str) -> dict[str, Any]:
        return self._job("GET", f"/jobs/{id}", POLL_PAUSES, headers=self._key)

    def cancel(self, id: str) -> dict[str, Any]:
        return self._job("DELETE", f"/jobs/{id}", (), headers=self._key)

    def image(self, link: str) -> bytes:
        """Return the file behind a signed link. The API key is not sent, since the link may lead to another host."""
        return self._send("GET", f"{self.url}{link}" if link.startswith("/") else link, POLL_PAUSES).content

    def _job(self, method: str, path: str, pauses: Sequence[float], **options: Any) -> dict[str, Any]:
        job = _object(self._send(method, self.url + path, pauses, **options))
        if job.keys() >= JOB_FIELDS:
            return job
        raise CommandError(
            "This is not Easel", where=self.url, why="the response is not a job", fix="Check --url.", code=ENVIRONMENT
        )

    def _send(self, method: str, url: str, pauses: Sequence[float], **options: Any) -> httpx.Response:
        for pause in pauses:
            try:
                response = self._http.request(method, url, **options)
            except httpx.ConnectError as error:
                if method == "POST":
                    self._refuse_connection(error)
            except httpx.TransportError:
                pass
            else:
                if not _retryable(response):
                    return _checked(response)
            time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
        try:
            return _checked(self._http.request(method, url, **options))
        except httpx.TransportError as error:
            self._refuse_connection(error)

    def _refuse_connection(self, error: httpx.TransportError) -> NoReturn:
        local = _host(self.url) in LOOPBACK
        raise CommandError(
            "Easel does not respond",
            where=self.url,
            why=str(error) or type(error).__name__,
            fix="Start it with `make up`, or set its address with --url." if local else "Check --url and the network.",
            code=ENVIRONMENT,
        ) from None


def _open(*, use_proxy: bool) -> httpx.Client:
    """Return a client that follows the proxy variables of the shell if `use_proxy`."""
    try:
        return httpx.Client(timeout=httpx.Timeout(35, connect=10), trust_env=use_proxy)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise CommandError(
            "The proxy cannot be used",
            where="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY",
            why=str(error),
            fix="Use a value like http://127.0.0.1:3128, or unset the variable.",
            code=ENVIRONMENT,
        ) from None


def _check(url: str, key: str | None) -> None:
    """Refuse a URL or an API key that no HTTP request can contain."""
    try:
        httpx.Request("GET", url)
        _host(url).encode("idna")
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


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme in ("http", "https") and parts.hostname:
        return parts.hostname
    fix = "Use a URL like http://127.0.0.1:7860."
    raise CommandError("The URL is not valid", where="--url", why=f"{url!r} has no host", fix=fix, code=USAGE)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _retryable(response: httpx.Response) -> bool:
    return response.status_code in _RETRYABLE and bool(_object(response).get("retryable", True))


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    problem, status = _object(response), response.status_code
    fields = [str(param.get("name")) for param in problem.get("invalid_params", [])]
    raise CommandError(
        problem.get("title", f"The API responded with status {status}"),
        where=" · ".join([f"{response.request.method} {response.request.url.copy_with(query=None)}", *fields]),
        why=problem.get("detail") or problem.get("message") or response.reason_phrase,
        fix=_fix(status, problem),
        code=_EXIT_CODES.get(status, USAGE if status < 500 else FAILED),
    )


def _fix(status: int, problem: Mapping[str, Any]) -> str:
    if status == 401:
        return KEY_FIX
    if hint := problem.get("hint"):
        return str(hint)
    if status == 403:
        return KEY_FIX
    return "Check --url." if status in _NOT_EASEL and "code" not in problem else ""
