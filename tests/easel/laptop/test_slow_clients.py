"""Clients that stall are cut off, and cost the others nothing (uvicorn with our protocol, on loopback)."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn

from easel.laptop.gateway import app as gateway
from easel.laptop.gateway import http_timeouts
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.http_timeouts import PatientProtocol
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.worker_pool import Pool
from tests.easel.running import until

SHORT = 0.5
BIG = "x" * 2**24


class Workers:
    async def call(self, event: Any) -> Any:
        return {"statusCode": 200, "body": BIG if event["path"] == "/big" else "fine"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(http_timeouts, "HEADER_SECONDS", SHORT)
    monkeypatch.setattr(http_timeouts, "READER_SECONDS", SHORT)
    monkeypatch.setattr(gateway, "BODY_SECONDS", SHORT)
    door = Gateway(
        pool=cast(Pool, Workers()), signer=Signer(b""), files=Path(), page=Path("/no"), policy="", welcome=""
    )
    config = uvicorn.Config(door.app(), port=0, http=PatientProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield server
    server.should_exit = True
    thread.join()


def address(server: uvicorn.Server) -> tuple[str, int]:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return host, port


def stalled(server: uvicorn.Server, begin: bytes) -> socket.socket:
    connection = socket.create_connection(address(server), timeout=5)
    connection.sendall(begin)
    return connection


POST = b"POST /generate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
WHOLE = b"GET /models HTTP/1.1\r\nhost: localhost\r\n\r\n"


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes; fails when it does not."""
    received = b""
    try:
        while more := connection.recv(2**16):
            received += more
    except ConnectionResetError:
        pass
    connection.close()
    return received


@pytest.mark.parametrize("begin", [b"", b"GET /models HT", POST], ids=["nothing", "half a line", "half the headers"])
def test_headers_must_come(server: uvicorn.Server, begin: bytes) -> None:
    began = time.monotonic()
    assert rest(stalled(server, begin)) == b""
    assert SHORT * 0.8 < time.monotonic() - began < 4


def test_so_must_those_of_the_second_request(server: uvicorn.Server) -> None:
    connection = stalled(server, WHOLE)
    assert connection.recv(2**16).startswith(b"HTTP/1.1 200 OK")
    connection.sendall(b"GET /mo")
    assert b"HTTP/1.1" not in rest(connection)


def test_the_body_must_come(server: uvicorn.Server) -> None:
    assert rest(stalled(server, POST + b"content-length: 10\r\n\r\n{")).startswith(b"HTTP/1.1 408 ")


def test_the_answer_must_be_read(server: uvicorn.Server) -> None:
    connection = stalled(server, b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
    until(lambda: server.server_state.connections)
    until(lambda: not server.server_state.connections, 5)
    connection.close()


def test_broken_http_is_refused(server: uvicorn.Server) -> None:
    for length in (b"-1", b"abc", b"9" * 30):
        answer = rest(stalled(server, POST + b"content-length: " + length + b"\r\n\r\n"))
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408"), answer
    endless = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 100_000
    assert rest(stalled(server, endless)).startswith(b"HTTP/1.1 400")


def test_three_hundred_stalled_clients_are_in_nobodys_way(server: uvicorn.Server) -> None:
    host, port = address(server)
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(stalled(server, POST + b"content-length: 10\r\n\r\n{"))
        began = time.monotonic()
        assert httpx.get(f"http://{host}:{port}/models", trust_env=False).text == "fine"
        assert time.monotonic() - began < 2
        until(lambda: not server.server_state.connections, 10)
