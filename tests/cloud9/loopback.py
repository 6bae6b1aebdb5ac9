"""A server on loopback that sends prepared responses and records the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RecordedRequest:
    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class PreparedResponse:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(body: Any, status: int = 200, **headers: str) -> PreparedResponse:
    return PreparedResponse(status, json.dumps(body).encode(), {"content-type": "application/json", **headers})


class Loopback:
    """`responses` maps "GET /path", or "GET" for every path, to the next responses. The last is repeated."""

    def __init__(self) -> None:
        self.responses: dict[str, list[PreparedResponse]] = {}
        self.requests: list[RecordedRequest] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next_response(self, request: RecordedRequest) -> PreparedResponse:
        self.requests.append(request)
        prepared = self.responses.get(f"{request.method} {request.path}") or self.responses.get(request.method)
        if not prepared:
            return PreparedResponse(404, b"<h1>Not Found</h1>")
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                response = server.next_response(RecordedRequest(self.command, self.path, self.headers, body))
                self.send_response(response.status)
                for name, value in {"content-length": str(len(response.body)), **response.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PUT = _respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler
