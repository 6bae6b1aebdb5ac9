"""A hub of models on loopback, for tests and the import benchmark: `python -m tests.model_importer.hub FOLDER`.

As with Hugging Face, the hub and the file store that it redirects to are two servers.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

API = "/api"
"""Key in `dropped_connections`: the metadata of the repository."""
LFS_BYTES = 100_000
"""Files from this size on have a SHA-256 on record and lie in the store."""

HEADER_BYTES = 64 * 1024
"""The beginning of weights that is read before the import."""


@dataclass
class Repository:
    """The content of the hub and its faults."""

    folder: Path
    commit: str = "c" * 40
    gated: str = ""
    """The token that gives access; empty: everybody has access."""
    removed: bool = False
    ranges: bool = True
    """The server supports range requests."""
    damaged: set[str] = field(default_factory=set)
    """Files that are sent with a wrong last byte."""
    dropped_connections: Counter[str] = field(default_factory=Counter)
    """File to number of responses that break off in the middle. Ranges of a header are not counted."""
    stall_from: int | None = None
    """Ranges from this byte on get no response until this is None again; then their connections end."""
    failures: int = 0
    """Number of requests that get status 503."""
    retry_after: str = ""
    """`Retry-After` of those responses."""
    expired: int = 0
    """Number of requests to the store that get status 403, as for an expired signed URL."""


class HubServer:
    """Serves one repository, `org/model`, on two ports.

    `requests` has (method, server, path); `tokens` the authorization headers by server; `sent` the bytes by file.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.requests: list[tuple[str, str, str]] = []
        self.tokens: dict[str, set[str]] = {"hub": set(), "store": set()}
        self.sent: Counter[str] = Counter()
        self._servers = [self._server("store"), self._server("hub")]
        self.store, self.url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fetched(self) -> list[str]:
        """Return the path of each GET of a file, once for each range."""
        return [path for method, _, path in self.requests if method == "GET" and not path.startswith("/api/")]

    def _server(self, server_role: str) -> ThreadingHTTPServer:
        class Handler(_Handler):
            hub, role = self, server_role

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer
    role: str

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests.append((self.command, self.role, self.path))
        self.hub.tokens[self.role].add(self.headers.get("authorization", ""))
        repository = self.hub.repository
        if repository.failures:
            repository.failures -= 1
            return self.respond(503, {"Retry-After": repository.retry_after} if repository.retry_after else {})
        path = unquote(urlsplit(self.path).path)
        return self.respond_as_hub(path) if self.role == "hub" else self.send_file(path[1:])

    def respond_as_hub(self, path: str) -> None:
        repository = self.hub.repository
        if repository.removed or "org/model" not in path:
            return self.respond(401, {"X-Error-Code": "RepoNotFound"})
        if not path.startswith("/api/models/org/model/revision/"):
            return self.resolve(path)
        if path.rpartition("/")[2] not in ("main", repository.commit):
            return self.respond(404, {"X-Error-Code": "RevisionNotFound"})
        body = metadata(repository)
        if repository.dropped_connections[API]:
            repository.dropped_connections[API] -= 1
            return self.drop(body, len(body))
        return self.respond(200, {"content-type": "application/json"}, body)

    def resolve(self, path: str) -> None:
        repository = self.hub.repository
        commit, _, name = path.removeprefix("/org/model/resolve/").partition("/")
        if repository.gated and self.headers.get("authorization") != f"Bearer {repository.gated}":
            return self.respond(403 if "authorization" in self.headers else 401, {"X-Error-Code": "GatedRepo"})
        file = repository.folder / name
        if commit != repository.commit or not file.is_file():
            return self.respond(404, {"X-Error-Code": "EntryNotFound"})
        if file.stat().st_size < LFS_BYTES:
            return self.send_file(name)
        return self.respond(302, {"Location": f"{self.hub.store}/{name}?signature=abc"})

    def send_file(self, name: str) -> None:
        repository, file = self.hub.repository, self.hub.repository.folder / name
        if self.role == "store" and repository.expired:
            repository.expired -= 1
            return self.respond(403)
        size, requested = file.stat().st_size, self.headers.get("range", "") if repository.ranges else ""
        low, _, high = requested.removeprefix("bytes=").partition("-")
        first, end = (int(low), int(high) + 1) if requested else (0, size)
        if repository.stall_from is not None and first >= repository.stall_from:
            return self.stall()
        with file.open("rb") as opened:
            opened.seek(first)
            body = opened.read(end - first) if self.command == "GET" else b""
        if name in repository.damaged and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if len(body) != HEADER_BYTES and body and repository.dropped_connections[name]:
            repository.dropped_connections[name] -= 1
            return self.drop(body, end - first)
        self.hub.sent[name] += len(body)
        headers = {"Content-Range": f"bytes {first}-{end - 1}/{size}"} if requested else {}
        return self.respond(206 if requested else 200, headers, body, end - first)

    def stall(self) -> None:
        while self.hub.repository.stall_from is not None:
            time.sleep(0.02)
        self.close_connection = True

    def drop(self, body: bytes, size: int) -> None:
        self.send_response(206)
        self.send_header("content-length", str(size))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def respond(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"", size: int = -1) -> None:
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("content-length", str(len(body) if size < 0 else size))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: tests read `requests`."""


_metadata: dict[tuple[Path, str], bytes] = {}


def metadata(repository: Repository) -> bytes:
    """Return the API's JSON for a repository with `blobs=true`. Files are hashed once for each commit."""
    key = (repository.folder, repository.commit)
    if key not in _metadata:
        files = sorted(file for file in repository.folder.rglob("*") if file.is_file())
        info = {
            "id": "org/model",
            "sha": repository.commit,
            "cardData": {"license": "openrail++"},
            "siblings": [_file_entry(file, str(file.relative_to(repository.folder))) for file in files],
        }
        _metadata[key] = json.dumps(info).encode()
    return _metadata[key]


def _file_entry(file: Path, name: str) -> dict[str, Any]:
    size = file.stat().st_size
    entry = {"rfilename": name, "size": size, "blobId": git_sha1(file.read_bytes()) if size < LFS_BYTES else "0" * 40}
    if size >= LFS_BYTES:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 134}
    return entry


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def main(folder: Path) -> None:
    """Hash all files, print the URL, and serve until standard input ends."""
    repository = Repository(folder)
    metadata(repository)
    with HubServer(repository) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
