"""CloudFormation's side of a custom resource: events, an HTTP server that receives the responses, and a clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any


@dataclass
class CloudFormation:
    """`responses` are the bodies that were sent to `url`."""

    url: str
    responses: list[dict[str, Any]] = field(default_factory=list)

    def event(self, kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return an event of the kind Create, Update or Delete."""
        return {
            "RequestType": kind,
            "ResponseURL": self.url,
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "resource",
            "ResourceProperties": properties,
            **more,
        }

    def statuses(self) -> list[str]:
        return [response["Status"] for response in self.responses]


@dataclass
class Context:
    """A Lambda context with `left_ms` milliseconds left."""

    left_ms: int = 900_000
    log_stream_name: str = "stream"
    invoked_function_arn: str = "function"

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


class Clock:
    """Replaces `time` in the handler. Sleeping moves the clock; `then` has an action for the nth sleep."""

    def __init__(self) -> None:
        self.now, self.then = 1000.0, dict[int, Callable[[], None]]()
        self.slept = 0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
        self.then.get(self.slept, lambda: None)()


@contextmanager
def serve() -> Iterator[CloudFormation]:
    """Run the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            cloudformation.responses.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    cloudformation = CloudFormation(f"http://127.0.0.1:{server.server_port}/")
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield cloudformation
    finally:
        server.shutdown()
        server.server_close()
