"""Limits of HTTP connections: their number, the time for a request's headers, and for reading a response.

uvicorn's options limit only idle connections between requests, and an ASGI app never sees these cases.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract import EaselError
from gateway.problem_details import MEDIA_TYPE, problem, problem_headers

HEADER_SECONDS = 10.0
READER_SECONDS = 60.0
IDLE_SECONDS = 75
"""Time that a connection stays open between requests. Longer than any Retry-After: a client that waits so long and uses
the connection again would else find it closed at that very moment."""
MAX_CONNECTIONS = 1000
RESERVED_FILES = 112
"""Open files besides connections: logs, the models' processes, and the files that eight handlers read."""
REFUSED_SECONDS = 1.0
"""Time that a refused client has to read its response."""


def max_connections() -> int:
    """Return how many connections are served. Each may read a file, and the system limits open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = files != resource.RLIM_INFINITY
    return max(8, min(MAX_CONNECTIONS, (files - RESERVED_FILES) // 2)) if limited else MAX_CONNECTIONS


class _Timeout:
    """Calls `action` after `seconds`, unless cancelled."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._action)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol that closes the connection of a client that stalls, and refuses too many connections."""

    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers = _Timeout(HEADER_SECONDS, transport.abort)
        self._reader = _Timeout(READER_SECONDS, transport.abort)
        self._headers.start()
        excess = len(self.connections) - max_connections()
        if excess > 0 and not self._close_idle():
            self._refuse(at_once=excess > RESERVED_FILES // 4)

    def _close_idle(self) -> bool:
        """Close a connection that waits for its next request, and return whether there is one: a client that has a
        request comes first."""
        for other in self.connections:
            if not isinstance(other, LimitedProtocol) or other.transport.is_closing():
                continue
            if other.timeout_keep_alive_task:
                other.timeout_keep_alive_handler()
                return True
        return False

    def _refuse(self, *, at_once: bool) -> None:
        """Respond before the request is read. `at_once`: so many are refused that even this costs too many files."""
        self._refused = True
        if at_once:
            self.transport.abort()
            return
        with suppress(OSError):  # the client is gone
            hint = "Send the request again in a moment."
            self.transport.write(_response(EaselError("too_busy", "too many connections are open", hint=hint)))
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._headers.cancel()
        elif self.conn.trailing_data[0]:
            self._headers.start()

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP, unless a response has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            error = EaselError("bad_header", "the request is not valid HTTP", hint="Send an HTTP/1.1 request.")
            self.transport.write(_response(error))
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers.cancel()
        self._reader.cancel()
        super().connection_lost(exc)


def _response(error: EaselError) -> bytes:
    """Return a response that needs no request."""
    status, body = HTTPStatus(error.kind.status), problem(error, "", "").model_dump_json().encode()
    headers = {**problem_headers(error), "content-type": MEDIA_TYPE, "content-length": str(len(body))}
    lines = [f"HTTP/1.1 {status} {status.phrase}", *map(": ".join, headers.items()), "connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body
