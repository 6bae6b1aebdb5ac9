"""An API with scripted responses, on a free port."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, NamedTuple

ID = "f" * 44
PARAMETERS = {"prompt": ["a red apple", "Ein Bär & 熊猫!"], "num_images_per_prompt": 1}
IMAGES = [
    {"url": "/files/0?signature=x", "seed": 7, "width": 512, "height": 384, "media_type": "image/png"},
    {"url": "/files/1?signature=x", "seed": 8, "width": 512, "height": 384, "media_type": "image/jpeg"},
]
FILES = (b"\x89PNG\r\n\x1a\nimage 0", b"\xff\xd8\xffimage 1")
"""Content of /files/0 and /files/1."""


def job(status: str, message: str = "", step: int | None = None, **fields: Any) -> dict[str, Any]:
    progress = {"step": step, "steps": 20} if step else None
    job = {"id": ID, "status": status, "message": message, "progress": progress, "parameters": PARAMETERS}
    return {**job, "images": [], "timings": {"generate_s": 1.5}, "warnings": [], "error": None, **fields}


DONE = job("succeeded", "Done.", images=IMAGES, warnings=["Upscaled."])


class Received(NamedTuple):
    """A request that the API received. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class FakeApi(BaseHTTPRequestHandler):
    """GET /jobs/… responds with `jobs`, one after another, and repeats the last. POST responds with `submitted`.

    `more_headers`: of every response.
    """

    url: ClassVar[str]
    jobs: ClassVar[list[Any]]
    submitted: ClassVar[tuple[int, Any]]
    received: ClassVar[list[Received]]
    more_headers: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        self.keep(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.respond(*self.submitted)

    def do_GET(self) -> None:
        self.keep(None)
        if self.path.startswith("/files/"):
            self.send(200, FILES[int(self.path[7])])
        else:
            self.respond(200, self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0])

    def do_DELETE(self) -> None:
        self.keep(None)
        self.respond(200, job("cancelled", "Cancelled."))

    def keep(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.received.append(Received(self.command, self.path, headers, body))

    def respond(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in self.more_headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...
