"""A loopback server that fails as SageMaker does, on the wire, so that boto3 itself is under test."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Fault:
    """One answer: `status`, AWS error `kind`, JSON `body`. `manner` is `answer`, `hang`, `close` or `cut`."""

    def __init__(self, status: int = 200, kind: str = "", body: Any = None, manner: str = "answer", **headers: str):
        self.status, self.kind, self.manner, self.headers = status, kind, manner, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body or {}).encode()


class Server(ThreadingHTTPServer):
    """Answers every request with `fault` and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = Fault()
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what this is about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, body))
        fault = self.server.fault
        if fault.manner == "hang":
            self.server.released.wait(10)
        if fault.manner in ("hang", "close"):
            self.close_connection = True
            return
        self._answer(fault)

    def _answer(self, fault: Fault) -> None:
        self.send_response(fault.status)
        more = {"x-amzn-errortype": fault.kind} if fault.kind else {}
        length = len(fault.body) + (1000 if fault.manner == "cut" else 0)
        for name, value in {"content-type": "application/json", "content-length": str(length), **more}.items():
            self.send_header(name, value)
        for name, value in fault.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(fault.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


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
