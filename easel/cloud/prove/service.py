"""The deployed service as its callers see it: plain requests to the API and the site, and generation of images."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import httpx

from easel.client.api import Api
from easel.client.command_errors import command_errors, to_command_error
from easel.client.connection import open_client, refuse_connection
from easel.client.responses import JobState, parse_problem
from easel.client.steps import Steps
from easel.client.transport import Transport
from easel.console.errors import CommandError

T = TypeVar("T")
REPORT = "easel prove tries the step again; if it stays, report it with the record"
REQUEST: dict[str, Any] = {"prompt": "red apple", "seed": 7, "num_inference_steps": 4}


@dataclass(frozen=True)
class Reply:
    """A response with its whole body."""

    where: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise self.error("a JSON document is expected") from None

    def expect(self, *statuses: int) -> Reply:
        """Return this response. Raises CommandError: it has another status."""
        if self.status in statuses:
            return self
        raise self.error(f"{' or '.join(map(str, statuses))} is expected")

    def error(self, expected: str) -> CommandError:
        problem = parse_problem(self.body)
        words = ": ".join(filter(None, (problem.code, problem.detail or problem.title)))
        why = f"status {self.status}; {expected}. {words}".rstrip()
        return CommandError(
            "The service does not respond as documented", where=self.where, why=why, fix=problem.hint or REPORT
        )


class JobApi:
    """The routes of jobs, and the files of images. Every method raises CommandError."""

    def __init__(self, url: str, key: str) -> None:
        with command_errors():
            self._api, self._transport = Api(url, key, None), Transport()

    def submit(self, request: Mapping[str, Any]) -> JobState:
        return self._run(self._api.submit(request))

    def job(self, id: str) -> JobState:
        return self._run(self._api.job(id))

    def image(self, link: str, media_type: str) -> bytes:
        return self._run(self._api.image(link, media_type))

    def _run(self, steps: Steps[T]) -> T:
        with command_errors():
            return self._transport.run(steps)


class Service:
    """The API at `url` with its key, and the site; an empty `site`: there is none."""

    def __init__(self, url: str, key: str, site: str) -> None:
        self.url, self.key, self.site = url.rstrip("/"), key, site.rstrip("/")

    @cached_property
    def api(self) -> JobApi:
        return JobApi(self.url, self.key)

    @cached_property
    def _client(self) -> httpx.Client:
        with command_errors():
            return open_client(httpx.Client, tls=True, use_proxy=True)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        site: bool = False,
        key: bool = True,
    ) -> Reply:
        """Send one request. Raises CommandError: no response."""
        url = (self.site if site else self.url) + path
        headers = {**(headers or {}), **({"x-api-key": self.key} if key else {})}
        return self._request(f"{method} {path}{' of the site' if site else ''}", method, url, body, headers)

    def fetch(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Get the image at a link. Raises CommandError: no response."""
        return self._request("the link of an image", "GET", url, None, headers)

    def _request(self, where: str, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Reply:
        began = time.monotonic()
        try:
            response = self._client.request(method, url, json=body, headers=headers)
        except httpx.TransportError as error:
            raise to_command_error(refuse_connection(url, error)) from None
        seconds = time.monotonic() - began
        return Reply(where, response.status_code, response.headers, response.content, seconds)
