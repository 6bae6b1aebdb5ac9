"""A reverse proxy on loopback, as nginx would be set up."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/studio"


class Proxy(BaseHTTPRequestHandler):
    """Forwards what is below PREFIX. The settings of nginx: `keep_host`, and `keep_path` of the request."""

    target: int
    keep_host: bool
    keep_path: bool

    def forward(self) -> None:
        if not self.path.startswith(f"{PREFIX}/"):
            self.send_error(404)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "connection"}
        if not self.keep_host:
            headers["host"] = f"127.0.0.1:{self.target}"
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream.request(self.command, self.path if self.keep_path else self.path.removeprefix(PREFIX), body, headers)
        response = upstream.getresponse()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name != "transfer-encoding":
                self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        while part := response.read1():  # unbuffered: events arrive as they are sent
            self.wfile.write(part)
        upstream.close()

    do_GET = do_HEAD = do_POST = do_DELETE = forward  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def reverse_proxy(target: int, *, keep_host: bool, keep_path: bool, port: int = 0) -> Iterator[int]:
    """Forward to the port `target`. Yields the proxy's own port."""
    members = {"target": target, "keep_host": keep_host, "keep_path": keep_path}
    with ThreadingHTTPServer(("127.0.0.1", port), type("BoundProxy", (Proxy,), members)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()
