"""An HTTP connection that does not wait for ever: not for headers, not for a reader of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
READER_SECONDS = 60.0


class _Limit:
    """Runs `act` after so many seconds, unless it is lifted before."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._seconds, self._act = seconds, act
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._act)

    def lift(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class PatientProtocol(H11Protocol):
    """uvicorn's has a time limit between requests only. Here a client that stalls is cut off."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers = _Limit(HEADER_SECONDS, transport.abort)
        self._reader = _Limit(READER_SECONDS, transport.abort)
        self._headers.set()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._headers.lift()
        elif self.conn.trailing_data[0]:
            self._headers.set()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.set()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.lift()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers.lift()
        self._reader.lift()
        super().connection_lost(exc)
