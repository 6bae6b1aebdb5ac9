"""A site with download links on loopback, as Civitai is: it redirects to a file store, which is another host."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LINK = "/api/download/models/7"
STORED = "/store/model.safetensors"


@dataclass
class Site:
    """The site and its faults. `requests` has (role, path, range); `tokens` the authorization headers by role."""

    content: bytes
    token: str = ""
    """The token that gives access; empty: everybody has access."""
    version: dict[str, Any] | None = None
    """What the API says about the file; None: there is no API."""
    status: int = 0
    """The status of every response of the store; 0: it sends the file."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers of the store."""
    ranges: bool = True
    cuts: int = 0
    """Number of responses that end in the middle."""
    cut_after: int | None = None
    """All ranges from this byte on end in the middle."""
    endless: bool = False
    target: str = ""
    """Where the link redirects to, if not to the store."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: dict[str, set[str]] = field(default_factory=lambda: {"home": set(), "store": set()})
    sent: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        self._servers = {role: self._server(role) for role in ("home", "store")}
        self.url, self.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers.values())
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    @property
    def link(self) -> str:
        return self.url + LINK

    def _server(self, server_role: str) -> ThreadingHTTPServer:
        class Handler(_Handler):
            site, role = self, server_role

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site
    role: str

    def do_GET(self) -> None:
        site, authorization = self.site, self.headers.get("authorization", "")
        site.requests.append((self.role, self.path, self.headers.get("range", "")))
        site.tokens[self.role].add(authorization)
        if self.role == "store":
            return self.send_file()
        if self.path == "/api/v1/model-versions/7" and site.version is not None:
            return self.respond(200, {"Content-Type": "application/json"}, json.dumps(site.version).encode())
        if not self.path.startswith(LINK):
            return self.respond(404)
        if site.token and authorization != f"Bearer {site.token}":
            return self.respond(401)
        return self.respond(307, {"Location": site.target or f"{site.store}{STORED}?signature=abc"})

    def send_file(self) -> None:
        site = self.site
        if site.status:
            return self.respond(site.status, site.headers, b"<html>")
        low, _, high = self.headers.get("range", "").removeprefix("bytes=").partition("-")
        first, end = (int(low), int(high) + 1) if site.ranges and low else (0, len(site.content))
        body = site.content[first:end]
        site.sent[self.path] += len(body)
        if len(body) > 9 and (site.cuts or (site.cut_after is not None and first >= site.cut_after)):
            site.cuts = max(site.cuts - 1, 0)
            return self.respond(206, {}, body[: len(body) // 2], len(body), cut=True)
        headers = {"Content-Range": f"bytes {first}-{end - 1}/{len(site.content)}"} if site.ranges and low else {}
        if site.endless and len(body) > 9:
            return self.stream_for_ever(headers)
        return self.respond(206 if headers else 200, headers | site.headers, body)

    def stream_for_ever(self, headers: dict[str, str]) -> None:
        self.send_response(206)
        for name, value in (headers | {"Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.site.requests.append((self.role, "closed", ""))

    def respond(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", size: int = -1, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if size < 0 else size))
        self.end_headers()
        self.wfile.write(body)
        if cut:
            self.close_connection = True
            self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Log nothing: tests read `requests`."""
