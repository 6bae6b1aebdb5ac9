"""Clients that stall are disconnected and do not delay others (uvicorn with LimitedProtocol, on loopback)."""

import http.client
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

from easel.laptop import handler_pool
from easel.laptop.gateway import app as gateway
from easel.laptop.gateway import connections
from easel.laptop.gateway.access import Access
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.connections import LimitedProtocol
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.handler_pool import HandlerPool
from easel.laptop.storage.accounts import AccountFolder
from tests.easel.running import SECONDS, Laptop, wait_for

TIMEOUT = 0.5
LARGE = "x" * 2**24


class Handlers:
    async def call(self, event: Any) -> Any:
        return {"statusCode": 200, "body": LARGE if event["path"] == "/large" else "fine"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(connections, "HEADER_SECONDS", TIMEOUT)
    monkeypatch.setattr(connections, "READER_SECONDS", TIMEOUT)
    monkeypatch.setattr(gateway, "BODY_SECONDS", TIMEOUT)
    app = Gateway(
        handlers=cast(HandlerPool, Handlers()),
        signer=Signer(b""),
        files=Path(),
        page=Path("/no"),
        policy="",
        welcome="",
        access=Access(None, AccountFolder(Path("/no"))),
    ).app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=LimitedProtocol, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield server
    server.should_exit = True
    thread.join()


def address(server: uvicorn.Server) -> tuple[str, int]:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return host, port


def stalled(server: uvicorn.Server, start: bytes) -> socket.socket:
    """Return a connection that has sent only `start`."""
    connection = socket.create_connection(address(server), timeout=SECONDS)
    connection.sendall(start)
    return connection


POST = b"POST /generate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
COMPLETE = b"GET /models HTTP/1.1\r\nhost: localhost\r\n\r\n"


def receive_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes the connection. Fails if it does not close."""
    received = b""
    try:
        while more := connection.recv(2**16):
            received += more
    except ConnectionResetError:
        pass
    connection.close()
    return received


@pytest.mark.parametrize("start", [b"", b"GET /models HT", POST], ids=["nothing", "half a line", "half the headers"])
def test_headers_have_a_time_limit(server: uvicorn.Server, start: bytes) -> None:
    began = time.monotonic()
    assert receive_all(stalled(server, start)) == b""
    assert TIMEOUT * 0.8 < time.monotonic() - began < 9, "the limit of the fixture, and not 10 s"


def test_headers_of_the_second_request_have_a_time_limit(server: uvicorn.Server) -> None:
    connection = stalled(server, COMPLETE)
    assert connection.recv(2**16).startswith(b"HTTP/1.1 200 OK")
    connection.sendall(b"GET /mo")
    assert b"HTTP/1.1" not in receive_all(connection)


def test_the_body_has_a_time_limit(server: uvicorn.Server) -> None:
    response = receive_all(stalled(server, POST + b"content-length: 10\r\n\r\n{"))
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in response


def test_reading_the_response_has_a_time_limit(server: uvicorn.Server) -> None:
    connection = stalled(server, b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert connection.recv(1)
    wait_for(lambda: not server.server_state.connections)
    connection.close()


def test_invalid_http_is_refused(server: uvicorn.Server) -> None:
    for length in (b"-1", b"abc", b"9" * 30):
        response = receive_all(stalled(server, POST + b"content-length: " + length + b"\r\n\r\n"))
        assert response[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408"), response
    endless = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 100_000
    response = receive_all(stalled(server, endless))
    assert response.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in response


def test_three_hundred_stalled_clients_do_not_delay_others(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "BODY_SECONDS", 300)
    monkeypatch.setattr(connections, "HEADER_SECONDS", 300)
    host, port = address(server)
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(stalled(server, POST + b"content-length: 10\r\n\r\n{"))
        wait_for(lambda: len(server.server_state.connections) == 300)
        assert httpx.get(f"http://{host}:{port}/models", trust_env=False, timeout=SECONDS).text == "fine"
        assert len(server.server_state.connections) >= 300
    wait_for(lambda: not server.server_state.connections)


def test_a_connection_can_be_used_again_after_the_pause_that_a_refusal_asks_for(laptop: Laptop) -> None:
    assert connections.IDLE_SECONDS > handler_pool.LONGEST
    connection = http.client.HTTPConnection("127.0.0.1", laptop.port, timeout=SECONDS)
    for pause in (0.0, handler_pool.UNKNOWN + 0.5):
        time.sleep(pause)
        connection.request("GET", "/models")
        connection.auto_open = 0  # the second request must not open another
        with connection.getresponse() as response:
            assert (response.status, len(response.read()) > 0) == (200, True)
    connection.close()


def test_an_idle_connection_gives_its_place_to_a_request(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 2)
    idle, busy = stalled(server, COMPLETE), stalled(server, POST)
    received = b""
    while not received.endswith(b"fine"):
        received += idle.recv(2**16)
    third = stalled(server, COMPLETE)
    assert third.recv(2**16).startswith(b"HTTP/1.1 200 OK")
    assert receive_all(idle) == b""
    busy.close()
    third.close()
