"""A service behind a reverse proxy, below a path, as browsers and other clients see it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.easel.running import Laptop, wait_for

PUBLIC = "http://easel.example/studio/"
FROM_PAGE = {"origin": "http://easel.example", "sec-fetch-site": "same-origin", "content-type": "application/json"}


class Proxy(BaseHTTPRequestHandler):
    """Forwards what is below /studio/. The settings of nginx: `keep_host`, and `keep_path` of the request."""

    target: int
    keep_host: bool
    keep_path: bool

    def forward(self) -> None:
        if not self.path.startswith("/studio/"):
            self.send_error(404)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self.keep_host:
            headers["host"] = f"127.0.0.1:{self.target}"
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path if self.keep_path else self.path.removeprefix("/studio")
        upstream.request(self.command, path, body, headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.forward()

    def do_POST(self) -> None:
        self.forward()

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def proxy(laptop: Laptop, *, keep_host: bool, keep_path: bool) -> Iterator[int]:
    members = {"target": laptop.port, "keep_host": keep_host, "keep_path": keep_path}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundProxy", (Proxy,), members))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with Laptop(tmp_path_factory.mktemp("public"), "--public-url", PUBLIC) as laptop:
        yield laptop


def fetch(port: int, method: str, url: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send what a browser sends from the page at PUBLIC."""
    parts = urlsplit(url)
    assert parts.hostname == "easel.example"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    content = json.dumps(body).encode() if body else None
    connection.request(method, target, content, {**FROM_PAGE, "host": "easel.example"})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


@pytest.mark.laptop
@pytest.mark.parametrize("keep_path", [True, False], ids=["keeps the path", "strips the path"])
@pytest.mark.parametrize("keep_host", [True, False], ids=["keeps the host", "own host"])
def test_a_job_runs_from_the_page_to_its_image(public: Laptop, keep_host: bool, keep_path: bool) -> None:
    with proxy(public, keep_host=keep_host, keep_path=keep_path) as port:
        assert fetch(port, "GET", PUBLIC)[0] == 200
        status, headers, _ = fetch(port, "POST", f"{PUBLIC}jobs", {"prompt": "a red apple"})
        assert status == 202
        location = urljoin(f"{PUBLIC}jobs", headers["location"])
        assert location.startswith(f"{PUBLIC}jobs/")
        job = wait_for(lambda: (job := json.loads(fetch(port, "GET", location)[2]))["images"] and job)
        link = job["images"][0]["url"]
        image = link if keep_host else PUBLIC.rstrip("/") + link  # documented: a path is below the base URL
        assert fetch(port, "GET", image)[2].startswith(b"\x89PNG")


@pytest.mark.laptop
def test_it_says_where_it_is_and_that_it_has_no_key(public: Laptop) -> None:
    assert PUBLIC in public.output
    assert public.output.startswith("Warning: ")
