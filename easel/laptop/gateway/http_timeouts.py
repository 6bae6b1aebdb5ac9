"""Time limits of an HTTP connection: for the request's headers, and for a client that does not read its response.

uvicorn's options limit only idle connections between requests, and an ASGI app never sees these two cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
READER_SECONDS = 60.0


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


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol that closes the connection of a client that stalls."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers = _Timeout(HEADER_SECONDS, transport.abort)
        self._reader = _Timeout(READER_SECONDS, transport.abort)
        self._headers.start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._headers.cancel()
        elif self.conn.trailing_data[0]:
            self._headers.start()

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
