"""One attempt to send a webhook: the name is resolved once, every address is checked, and the checked one is called.

The response is read up to its header. Redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from webhooks.addresses import is_public
from webhooks.url import Target

DEADLINE_SECONDS = 15.0
"""Time of an attempt, from the name to the response's header."""
MAX_HEADER_BYTES = 16_384
"""Most bytes that are read, those of interim responses included."""
MAX_ADDRESSES = 4
"""Addresses of a name that are tried."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r]")
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,6})[ \t]*\r\n", re.IGNORECASE)
_GONE = 410


@dataclass(frozen=True)
class Result:
    """The result of an attempt. `error`: empty, or one of the docs' table. `final`: it would fail again."""

    status: int | None = None
    error: str = ""
    final: bool = False
    retry_after_s: int = 0


class _FailedError(Exception):
    """`error`: as in `Result`."""

    def __init__(self, error: str, *, final: bool = False) -> None:
        super().__init__(error)
        self.error, self.final = error, final


class Network(Protocol):
    """Names and connections. Tests replace it."""

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a name. Raises OSError. May take long."""

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        """Return a connection to an IP address, with `seconds` as its timeout. Raises OSError."""


class Internet:
    """Implements `Network` by the system."""

    def resolve(self, host: str, port: int) -> Sequence[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        return socket.create_connection((address, port), seconds)


class Sender:
    """Sends requests. `tls` returns the TLS context, which checks certificates."""

    def __init__(
        self,
        network: Network | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._network, self._tls, self._seconds = network or Internet(), tls, seconds
        self._context: ssl.SSLContext | None = None

    def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Result:
        """Send a JSON body. Never raises what the network or the other side can cause."""
        deadline = _Deadline(self._seconds)
        try:
            with closing(self._connect(target, deadline)) as connection:
                _send(connection, _request(target, headers, body), deadline)
                return _result(_read_header(connection, deadline))
        except _FailedError as failure:
            return Result(error=failure.error, final=failure.final)
        except TimeoutError:
            return Result(error="timeout")
        except ssl.SSLError:
            return Result(error="tls_failed")
        except OSError:
            return Result(error="connection_failed")

    def _connect(self, target: Target, deadline: _Deadline) -> socket.socket:
        """Return a connection to an address of the target that was checked."""
        addresses = self._resolve(target, deadline)[:MAX_ADDRESSES]
        if not target.trusted and not all(map(is_public, addresses)):
            raise _FailedError("address_not_public", final=True)
        connection = self._first(addresses, target.port, deadline)
        if target.scheme == "http":
            return connection
        try:
            self._context = self._context or self._tls()
            connection.settimeout(deadline.left())
            return self._context.wrap_socket(connection, server_hostname=target.host.strip("[]"))
        except BaseException:
            connection.close()
            raise

    def _resolve(self, target: Target, deadline: _Deadline) -> Sequence[str]:
        """Resolve a name in a thread: the system's resolver has no timeout."""
        results: SimpleQueue[Sequence[str]] = SimpleQueue()

        def resolve() -> None:
            try:
                results.put(self._network.resolve(target.host.strip("[]"), target.port))
            except (OSError, UnicodeError):
                results.put(())

        threading.Thread(target=resolve, daemon=True).start()
        try:
            addresses = results.get(timeout=deadline.left())
        except Empty:
            raise TimeoutError from None
        if not addresses:
            raise _FailedError("name_not_resolved")
        return addresses

    def _first(self, addresses: Sequence[str], port: int, deadline: _Deadline) -> socket.socket:
        """Return a connection to the first address that accepts it."""
        for i, address in enumerate(addresses):
            try:
                return self._network.connect(address, port, deadline.left() / (len(addresses) - i))
            except OSError:
                if address is addresses[-1]:
                    raise
        raise AssertionError("there is an address")


class _Deadline:
    """The end of an attempt."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {
        "host": target.authority,
        "user-agent": "Easel",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def _send(connection: socket.socket, data: bytes, deadline: _Deadline) -> None:
    rest = memoryview(data)
    while rest:
        connection.settimeout(deadline.left())
        rest = rest[connection.send(rest) :]


def _read_header(connection: socket.socket, deadline: _Deadline) -> tuple[int, bytes]:
    """Return the status and the header of the first response that is not an interim one."""
    data, room = b"", MAX_HEADER_BYTES
    while True:
        while (end := data.find(b"\r\n\r\n")) < 0:
            connection.settimeout(deadline.left())
            chunk = connection.recv(min(room, 4096)) if room else b""
            if not chunk:
                raise _FailedError("invalid_response")
            data, room = data + chunk, room - len(chunk)
        match = _STATUS.match(data)
        if not match:
            raise _FailedError("invalid_response")
        if (status := int(match[1])) >= 200 or status == 101:
            return status, data[: end + 4]
        data = data[end + 4 :]


def _result(response: tuple[int, bytes]) -> Result:
    status, header = response
    if 200 <= status < 300:
        return Result(status)
    if 300 <= status < 400:
        return Result(status, "redirect")
    retry_after = _RETRY_AFTER.search(header)
    return Result(status, "status", final=status == _GONE, retry_after_s=int(retry_after[1]) if retry_after else 0)
