"""The API over HTTP, a laptop's and a deployed one's alike."""

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
from easel.laptop.settings import LOOPBACK, SENDABLE

SUBMIT_PAUSES = (1.0, 3.0)
LOOK_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts. A submission carries its idempotency key, so that the second one is the first one's."""
JOB = {"id", "status", "message", "progress"}
"""What is looked at of a job that is under way."""
_LATER = (429, 502, 503, 504)
KEY = "Give the key: --key or EASEL_KEY. That of a deploy: easel outputs --export"
"""Instead of the API's own hint, which speaks to programs."""
_ELSEWHERE = (301, 302, 307, 308, 404, 405, 501)
"""What a server says that knows nothing of jobs."""
_EXITS = {401: ENVIRONMENT, 403: ENVIRONMENT, 404: FAILED, 429: FAILED}


class Api:
    """`url` is where the API's routes begin. Every method raises CommandError."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        _check(self.url, key)
        self._key = {"x-api-key": key} if key else {}
        self._http = _open(by_proxy=_host(url) not in LOOPBACK)

    def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The job that the request made."""
        headers = {**self._key, "idempotency-key": uuid.uuid4().hex}
        try:
            body = dumps(request).encode()
        except ValueError:
            fix = "Send valid text and finite numbers."
            raise CommandError(
                "This cannot be sent", where="the request", why="it is no JSON", fix=fix, code=USAGE
            ) from None
        headers["content-type"] = "application/json"
        return self._json("POST", "/jobs", SUBMIT_PAUSES, content=body, headers=headers)

    def job(self, id: str) -> dict[str, Any]:
        return self._json("GET", f"/jobs/{id}", LOOK_PAUSES, headers=self._key)

    def cancel(self, id: str) -> dict[str, Any]:
        return self._json("DELETE", f"/jobs/{id}", (), headers=self._key)

    def picture(self, link: str) -> bytes:
        """Links are signed: the key is not shown to where they lead."""
        return self._send("GET", f"{self.url}{link}" if link.startswith("/") else link, LOOK_PAUSES).content

    def _json(self, method: str, path: str, pauses: Sequence[float], **more: Any) -> dict[str, Any]:
        value = _object(self._send(method, self.url + path, pauses, **more))
        return value if value.keys() >= JOB else self._stranger("its answer is not a job")

    def _send(self, method: str, url: str, pauses: Sequence[float], **more: Any) -> httpx.Response:
        for pause in pauses:
            try:
                response = self._http.request(method, url, **more)
            except httpx.ConnectError as error:
                if method == "POST":
                    self._silent(error)
            except httpx.TransportError:
                pass
            else:
                if not _worth_another(response):
                    return _good(response)
            time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
        try:
            return _good(self._http.request(method, url, **more))
        except httpx.TransportError as error:
            self._silent(error)

    def _silent(self, error: httpx.TransportError) -> NoReturn:
        here = _host(self.url) in LOOPBACK
        raise CommandError(
            "No Easel answers",
            where=self.url,
            why=str(error) or type(error).__name__,
            fix="Start one with: make up. Or say where one is: --url." if here else "Check --url and the network.",
            code=ENVIRONMENT,
        ) from None

    def _stranger(self, why: str) -> NoReturn:
        raise CommandError("This is not Easel", where=self.url, why=why, fix="Check --url.", code=ENVIRONMENT)


def _open(*, by_proxy: bool) -> httpx.Client:
    """With `by_proxy` as the shell's variables say."""
    try:
        return httpx.Client(timeout=httpx.Timeout(35, connect=10), trust_env=by_proxy)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise CommandError(
            "The proxy cannot be used",
            where="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY",
            why=str(error),
            fix="Name one like http://127.0.0.1:3128, or unset the variable.",
            code=ENVIRONMENT,
        ) from None


def _check(url: str, key: str | None) -> None:
    """Refuses what cannot even be put into a call."""
    try:
        httpx.Request("GET", url)
        _host(url).encode("idna")
        if key and not re.fullmatch(SENDABLE, key):
            raise ValueError(key)
    except (httpx.InvalidURL, ValueError):
        raise CommandError(
            "Address or key cannot be used",
            where="--url, --key",
            why="they cannot be sent",
            fix="Give an address like http://127.0.0.1:7860 and a key of ASCII characters, without spaces around it.",
            code=USAGE,
        ) from None


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme in ("http", "https") and parts.hostname:
        return parts.hostname
    fix = "Give it like http://127.0.0.1:7860."
    raise CommandError("The address cannot be used", where="--url", why=f"{url!r} is no URL", fix=fix, code=USAGE)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _worth_another(response: httpx.Response) -> bool:
    return response.status_code in _LATER and bool(_object(response).get("retryable", True))


def _good(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    told, status = _object(response), response.status_code
    fields = [str(param.get("name")) for param in told.get("invalid_params", [])]
    raise CommandError(
        told.get("title", f"The API answered {status}"),
        where=" · ".join([f"{response.request.method} {response.request.url.copy_with(query=None)}", *fields]),
        why=told.get("detail") or told.get("message") or response.reason_phrase,
        fix=_way_out(status, told),
        code=_EXITS.get(status, USAGE if status < 500 else FAILED),
    )


def _way_out(status: int, told: Mapping[str, Any]) -> str:
    if status == 401:
        return KEY
    if hint := told.get("hint"):
        return str(hint)
    if status == 403:
        return KEY
    return "Check --url." if status in _ELSEWHERE and "code" not in told else ""
