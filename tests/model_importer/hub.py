"""A hub of models on loopback, for the tests and the benchmark of the import. `python -m tests.model_importer.hub FOLDER`.

The hub itself and the store that it redirects to are two servers, as with Hugging Face.
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

pause = time.sleep
"""Ours, since the tests of the importer have nobody else wait."""
API = "/api"
"""Among `drops`: what the hub tells of the repository."""
LFS_BYTES = 100_000
"""Files from this size on are kept by their SHA-256."""


@dataclass
class Repository:
    """`commits` says what each one holds; what `broken` names is sent otherwise than it is on record."""

    folder: Path
    commit: str = "c" * 40
    gated: str = ""
    """A token that opens it; empty: open."""
    removed: bool = False
    ranges: bool = True
    broken: set[str] = field(default_factory=set)
    drops: Counter[str] = field(default_factory=Counter)
    """How often a file's connection is to break in the middle."""
    holds: int | None = None
    """Ranges from this byte on are not answered, until it is None again: then their connections end."""
    failures: int = 0
    """How many requests get 503 before one is answered."""
    retry_after: str = ""
    """What they say of when to come again."""
    expired: int = 0
    """How many requests of the store get 403, as when a signed link is too old."""


class HubServer:
    """Serves one repository, `org/model`, on two ports.

    `requests` and `tokens` tell what came, by server; `sent` how many bytes of a file went out.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.requests: list[tuple[str, str, str]] = []
        self.tokens: dict[str, set[str]] = {"hub": set(), "store": set()}
        self.sent: Counter[str] = Counter()
        self._servers = [self._server("store", None), self._server("hub", None)]
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
        """The paths of all that was fetched from the store or the hub, one for each range."""
        return [path for method, _, path in self.requests if method == "GET" and not path.startswith("/api/")]

    def _server(self, role: str, _: None) -> ThreadingHTTPServer:
        hub = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.requests.append((self.command, role, self.path))
                hub.tokens[role].add(self.headers.get("authorization", ""))
                repository = hub.repository
                if repository.failures:
                    repository.failures -= 1
                    return self.answer(503, {"Retry-After": repository.retry_after} if repository.retry_after else {})
                return self.hub() if role == "hub" else self.file(unquote(urlsplit(self.path).path)[1:])

            def hub(self) -> None:
                path, repository = unquote(urlsplit(self.path).path), hub.repository
                if repository.removed or "org/model" not in path:
                    return self.answer(401, {"X-Error-Code": "RepoNotFound"})
                if path.startswith("/api/models/org/model/revision/"):
                    revision = path.rpartition("/")[2]
                    if revision not in ("main", repository.commit):
                        return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
                    body = described(repository)
                    if repository.drops[API]:
                        repository.drops[API] -= 1
                        return self.drop(body, len(body))
                    return self.answer(200, {"content-type": "application/json"}, body)
                return self.resolve(path)

            def resolve(self, path: str) -> None:
                repository = hub.repository
                commit, _, name = path.removeprefix("/org/model/resolve/").partition("/")
                if repository.gated and self.headers.get("authorization") != f"Bearer {repository.gated}":
                    return self.answer(403 if "authorization" in self.headers else 401, {"X-Error-Code": "GatedRepo"})
                file = repository.folder / name
                if commit != repository.commit or not file.is_file():
                    return self.answer(404, {"X-Error-Code": "EntryNotFound"})
                if file.stat().st_size < LFS_BYTES:
                    return self.file(name)
                return self.answer(302, {"Location": f"{hub.store}/{name}?signature=abc"})

            def file(self, name: str) -> None:
                repository, file = hub.repository, hub.repository.folder / name
                if role == "store" and repository.expired:
                    repository.expired -= 1
                    return self.answer(403)
                size, asked = file.stat().st_size, self.headers.get("range", "")
                first, end = 0, size
                if asked and repository.ranges:
                    low, _, high = asked.removeprefix("bytes=").partition("-")
                    first, end = int(low), int(high) + 1
                if repository.holds is not None and first >= repository.holds:
                    return self.hold()
                with file.open("rb") as opened:
                    opened.seek(first)
                    body = opened.read(end - first) if self.command == "GET" else b""
                if name in repository.broken:
                    body = body[:-1] + bytes([body[-1] ^ 1]) if body else body
                if body and repository.drops[name]:
                    repository.drops[name] -= 1
                    return self.drop(body, end - first)
                hub.sent[name] += len(body)
                told = {"Content-Range": f"bytes {first}-{end - 1}/{size}"} if end - first < size or asked else {}
                return self.answer(206 if asked and repository.ranges else 200, told, body, end - first)

            def hold(self) -> None:
                while hub.repository.holds is not None:
                    pause(0.02)
                self.close_connection = True

            def drop(self, body: bytes, size: int) -> None:
                self.send_response(206)
                self.send_header("content-length", str(size))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                self.wfile.flush()
                self.connection.close()

            def answer(
                self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"", size: int = -1
            ) -> None:
                self.send_response(status)
                for header, value in (headers or {}).items():
                    self.send_header(header, value)
                self.send_header("content-length", str(len(body) if size < 0 else size))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """The test reads `requests`."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        server.daemon_threads = True
        return server


_described: dict[tuple[Path, str], bytes] = {}


def described(repository: Repository) -> bytes:
    """What the API tells of a repository with `blobs=true`; hashed once for each commit."""
    key = (repository.folder, repository.commit)
    if key not in _described:
        files = sorted(file for file in repository.folder.rglob("*") if file.is_file())
        told = {
            "id": "org/model",
            "sha": repository.commit,
            "cardData": {"license": "openrail++"},
            "siblings": [_sibling(file, str(file.relative_to(repository.folder))) for file in files],
        }
        _described[key] = json.dumps(told).encode()
    return _described[key]


def _sibling(file: Path, name: str) -> dict[str, Any]:
    size = file.stat().st_size
    told = {"rfilename": name, "size": size, "blobId": git_sha1(file.read_bytes()) if size < LFS_BYTES else "0" * 40}
    if size >= LFS_BYTES:
        with file.open("rb") as opened:
            told["lfs"] = {
                "sha256": hashlib.file_digest(opened, "sha256").hexdigest(),
                "size": size,
                "pointerSize": 134,
            }
    return told


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def main(folder: Path) -> None:
    """Prints its address, and serves until standard input ends. It hashes all files first."""
    repository = Repository(folder)
    described(repository)
    with HubServer(repository) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
