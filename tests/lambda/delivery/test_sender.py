"""Attempts to send, against servers and names that lie."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from webhooks.sender import MAX_HEADER_BYTES, Result, Sender
from webhooks.url import Target, UrlRules, parse_origin

PUBLIC, OTHER = "93.184.215.14", "1.1.1.1"
TARGET = Target("https", "hooks.example.com", 443, "/hook?token=1")
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class FakeNetwork:
    """Resolves names as a test says, and leads every connection to a port of this machine."""

    port: int
    answers: list[Sequence[str]] = field(default_factory=lambda: [[PUBLIC]])
    refused: Sequence[str] = ()
    resolved: list[tuple[str, int]] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        if address in self.refused:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.port), seconds)


@dataclass
class Server:
    """Speaks TLS on a port of loopback, and does with each connection what a test says."""

    port: int
    client: ssl.SSLContext
    respond: Callable[[ssl.SSLSocket], None] = lambda connection: connection.sendall(OK)
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        context.sni_callback = lambda _, name, __: self.names.append(name)
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                connection.settimeout(60)
                self.requests.append(_read_request(connection))
                self.respond(connection)


def _read_request(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while not data.endswith(b"{}"):
        more = connection.recv(4096)
        if not more:
            break
        data += more
    return data


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=test", "-addext", f"subjectAltName=DNS:{TARGET.host}"]
    subprocess.run([*command, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener.getsockname()[1], ssl.create_default_context(cafile=str(certificate[0])))
        thread = threading.Thread(target=server.serve, args=(listener, context), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@contextlib.contextmanager
def plain_server(response: bytes) -> Iterator[int]:
    """Yield the port of a server without TLS that sends `response` to one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(response)
                connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(60)


def post(server: Server, network: FakeNetwork | None = None, target: Target = TARGET, seconds: float = 60) -> Result:
    sender = Sender(network or FakeNetwork(server.port), lambda: server.client, seconds)
    return sender.post(target, {"webhook-id": "msg_1"}, b"{}")


def test_the_checked_address_is_called_with_the_name_in_tls_and_host(server: Server) -> None:
    network = FakeNetwork(server.port)
    assert post(server, network) == Result(204)
    assert network.resolved == [("hooks.example.com", 443)]
    assert network.connected == [(PUBLIC, 443)]
    assert server.names == ["hooks.example.com"]
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "POST /hook?token=1 HTTP/1.1"
    assert {"host: hooks.example.com", "webhook-id: msg_1", "content-length: 2", "connection: close"} <= set(head)


def test_a_name_that_changes_between_check_and_call_is_not_resolved_again(server: Server) -> None:
    network = FakeNetwork(server.port, [[PUBLIC], ["127.0.0.1"]])
    assert post(server, network) == Result(204)
    assert (len(network.resolved), network.connected) == (1, [(PUBLIC, 443)])
    assert post(server, network) == Result(error="address_not_public", final=True)
    assert network.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [PUBLIC, "169.254.169.254"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1", PUBLIC], ["fe80::1%eth0"],
     [PUBLIC, OTHER, "2606:4700::1111", "10.0.0.1"]],
    ids=str,
)  # fmt: skip
def test_a_name_with_any_address_that_is_not_public_is_not_called(server: Server, addresses: list[str]) -> None:
    network = FakeNetwork(server.port, [addresses])
    assert post(server, network) == Result(error="address_not_public", final=True)
    assert network.connected == []


def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    network = FakeNetwork(server.port, [[PUBLIC, OTHER]], refused=[PUBLIC])
    assert post(server, network) == Result(204)
    assert network.connected == [(PUBLIC, 443), (OTHER, 443)]
    assert post(server, FakeNetwork(server.port, refused=[PUBLIC])) == Result(error="connection_failed")


def test_a_name_without_an_address_is_an_error(server: Server) -> None:
    assert post(server, FakeNetwork(server.port, [[]])) == Result(error="name_not_resolved")


def test_a_slow_resolver_does_not_outlast_the_deadline(server: Server) -> None:
    network, release = FakeNetwork(server.port), threading.Event()
    network.resolve = lambda host, port: [PUBLIC] if release.wait(60) else []  # type: ignore[method-assign]
    began = time.monotonic()
    assert post(server, network, seconds=0.1) == Result(error="timeout")
    assert time.monotonic() - began < 30
    release.set()


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("200 OK", Result(200)),
        ("299 x", Result(299)),
        ("301 Moved\r\nLocation: http://127.0.0.1/", Result(301, "redirect")),
        ("307 x\r\nLocation: https://hooks.example.com/other", Result(307, "redirect")),
        ("400 x", Result(400, "status")),
        ("410 Gone", Result(410, "status", final=True)),
        ("429 x\r\nRetry-After: 120", Result(429, "status", retry_after_s=120)),
        ("503 x\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT", Result(503, "status")),
        ("101 Switching Protocols", Result(101, "status")),
    ],
)
def test_only_2xx_is_success_and_no_redirect_is_followed(server: Server, status: str, result: Result) -> None:
    network = FakeNetwork(server.port)
    server.respond = lambda connection: connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
    assert post(server, network) == result
    assert (len(server.requests), len(network.connected)) == (1, 1)


def test_interim_responses_are_skipped(server: Server) -> None:
    server.respond = lambda connection: connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)
    assert post(server) == Result(204)


@pytest.mark.parametrize(
    "response",
    [b"", b"\r\n\r\n", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/2 200\r\n\r\n",
     b"HTTP/1.1 2000 x\r\n\r\n", b"x" * (MAX_HEADER_BYTES + 1), OK[:-2] + b"a: b\r\n" * MAX_HEADER_BYTES,
     b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_HEADER_BYTES],
    ids=lambda response: ascii(response[:24]),
)  # fmt: skip
def test_what_is_no_response_is_read_to_a_bound(server: Server, response: bytes) -> None:
    server.respond = lambda connection: connection.sendall(response)
    assert post(server) == Result(error="invalid_response")


def test_a_body_without_end_is_not_read(server: Server) -> None:
    def flood(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    server.respond = flood
    assert post(server) == Result(200)


def test_a_server_that_sends_byte_after_byte_meets_the_deadline(server: Server) -> None:
    def drip(connection: ssl.SSLSocket) -> None:
        for i in range(3000):
            connection.sendall(OK[i % 9 : i % 9 + 1])
            time.sleep(0.02)

    server.respond = drip
    began = time.monotonic()
    assert post(server, seconds=0.4) == Result(error="timeout")
    assert time.monotonic() - began < 30


def test_a_certificate_of_another_name_or_of_nobody_is_refused(server: Server) -> None:
    other = Target("https", "other.example.com", 443, "/")
    assert post(server, target=other) == Result(error="tls_failed")
    server.client = ssl.create_default_context()
    assert post(server) == Result(error="tls_failed")
    assert server.requests == []


def test_a_server_without_tls_is_no_receiver() -> None:
    with plain_server(b"220 mail\r\n") as port:
        network = FakeNetwork(port)
        assert Sender(network, seconds=60).post(TARGET, {}, b"{}") == Result(error="tls_failed")


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    network = FakeNetwork(server.port)
    assert post(server, network) == Result(204)
    assert network.connected == [(PUBLIC, 443)]


def test_a_named_origin_may_be_on_this_machine_without_tls() -> None:
    with plain_server(OK) as port:
        rules = UrlRules(public=False, origins=frozenset({parse_origin(f"http://127.0.0.1:{port}")}))
        assert Sender(seconds=60).post(rules.target(f"http://127.0.0.1:{port}/hook"), {}, b"{}") == Result(204)


def test_the_system_resolves_names_to_each_address_once() -> None:
    sender = Sender(seconds=60)
    assert sender.post(Target("https", "localhost", 443, "/"), {}, b"{}") == Result(
        error="address_not_public", final=True
    )
    assert sender.post(Target("https", "a.invalid", 443, "/"), {}, b"{}") == Result(error="name_not_resolved")
