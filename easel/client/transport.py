"""What performs the steps of the client: with httpx, in this thread or in an event loop.

httpx, because it has both forms with the same exceptions, and the laptop and `easel doctor` need it anyway.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TypeVar

import httpx

from easel.client.connection import host_of, is_local, open_client
from easel.client.deadline import call_within
from easel.client.errors import EaselError, InvalidResponseError
from easel.client.steps import Execution, Pause, Response, Send, Steps

T = TypeVar("T")


class Transport:
    """Performs steps in this thread. It has a connection pool of its own; threads may share it."""

    def __init__(self) -> None:
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}

    def run(self, steps: Steps[T]) -> T:
        """Perform all steps and return their result."""
        execution = Execution(steps)
        while not execution.done:
            self.perform(execution)
        return execution.result

    def perform(self, execution: Execution[T]) -> None:
        """Perform one step."""
        step = execution.step
        if isinstance(step, Send):
            try:
                response = self._receive(step)
            except (httpx.TransportError, EaselError) as error:
                execution.resume(error=error)
            else:
                execution.resume(response)
            return
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        execution.resume()

    def close(self) -> None:
        while self._clients:
            self._clients.popitem()[1].close()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the program parts of httpx may be gone
            self.close()

    def _receive(self, request: Send) -> Response:
        """Send a request once and receive the response within its seconds."""
        kind = _kind(request.url)
        if kind not in self._clients:
            self._clients[kind] = open_client(httpx.Client, tls=kind[0], use_proxy=kind[1])
        client, end = self._clients[kind], time.monotonic() + request.seconds
        try:
            return call_within(request.seconds, lambda: _exchange(client, request, end))
        except TimeoutError:
            raise _too_slow(request) from None


class AsyncTransport:
    """Performs steps in an event loop."""

    def __init__(self) -> None:
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}

    async def run(self, steps: Steps[T]) -> T:
        """Perform all steps and return their result."""
        execution = Execution(steps)
        while not execution.done:
            await self.perform(execution)
        return execution.result

    async def perform(self, execution: Execution[T]) -> None:
        """Perform one step."""
        step = execution.step
        if isinstance(step, Send):
            try:
                response = await self._receive(step)
            except (httpx.TransportError, EaselError) as error:
                execution.resume(error=error)
            else:
                execution.resume(response)
            return
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        execution.resume()

    async def close(self) -> None:
        while self._clients:
            await self._clients.popitem()[1].aclose()

    async def _receive(self, request: Send) -> Response:
        """Send a request once and receive the response within its seconds."""
        kind = _kind(request.url)
        if kind not in self._clients:
            self._clients[kind] = open_client(httpx.AsyncClient, tls=kind[0], use_proxy=kind[1])
        try:
            async with asyncio.timeout(request.seconds):
                return await _exchange_async(self._clients[kind], request)
        except TimeoutError:
            raise _too_slow(request) from None


def _exchange(client: httpx.Client, request: Send, end: float) -> Response:
    """Send a request and read the response until `end`, after which nobody waits for it."""
    body = bytearray()
    with client.stream(request.method, request.url, headers=_headers(request), content=request.content) as response:
        for chunk in response.iter_raw():
            _extend(body, chunk, request)
            if time.monotonic() > end:
                raise TimeoutError
        return _response(response, body)


async def _exchange_async(client: httpx.AsyncClient, request: Send) -> Response:
    body = bytearray()
    headers = _headers(request)
    async with client.stream(request.method, request.url, headers=headers, content=request.content) as response:
        async for chunk in response.aiter_raw():
            _extend(body, chunk, request)
        return _response(response, body)


def _headers(request: Send) -> dict[str, str]:
    """Return the headers of a request whose response is read as it is sent: a compressed body could be a bomb."""
    return {**request.headers, "accept-encoding": "identity"}


def _extend(body: bytearray, chunk: bytes, request: Send) -> None:
    body += chunk
    if len(body) > request.limit:
        raise InvalidResponseError(f"the response is larger than {request.limit} bytes")


def _response(response: httpx.Response, body: bytearray) -> Response:
    where = f"{response.request.method} {response.request.url.copy_with(query=None)}"
    return Response(where, response.status_code, response.reason_phrase, bytes(body), response.headers)


def _too_slow(request: Send) -> InvalidResponseError:
    return InvalidResponseError(f"the response takes longer than {request.seconds:g} seconds")


def _kind(url: str) -> tuple[bool, bool]:
    """Return whether a URL needs certificates, and whether it may lead through a proxy."""
    return url.startswith("https:"), not is_local(host_of(url))
