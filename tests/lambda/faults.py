"""A local HTTP server that fails like SageMaker does, so that tests include boto3 itself."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Fault:
    """A response: `status`, AWS error `kind`, JSON `body`.

    `behaviour`: `respond`, `hang` (no response), `close` (close the connection) or `cut` (a part of the body).
    """

    def __init__(self, status: int = 200, kind: str = "", body: Any = None, behaviour: str = "respond", **headers: str):
        self.status, self.kind, self.behaviour, self.headers = status, kind, behaviour, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body or {}).encode()


class Server(ThreadingHTTPServer):
    """Responds to every request with `fault` and keeps the requests: path, headers and body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = Fault()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up: the tests cause that."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        fault = self.server.fault
        if fault.behaviour == "hang":
            self.server.released.wait(60)
        if fault.behaviour in ("hang", "close"):
            self.close_connection = True
            return
        self._respond(fault)

    def do_GET(self) -> None:
        self.do_POST()

    def _respond(self, fault: Fault) -> None:
        self.send_response(fault.status)
        error = {"x-amzn-errortype": fault.kind} if fault.kind else {}
        length = len(fault.body) + (1000 if fault.behaviour == "cut" else 0)
        for name, value in {"content-type": "application/json", "content-length": str(length), **error}.items():
            self.send_header(name, value)
        for name, value in fault.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(fault.body)

    def log_message(self, format: str, *args: Any) -> None:
        """No log."""


@contextmanager
def serve() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
