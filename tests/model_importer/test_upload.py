"""Uploads of large files: streams, parts, and what a killed run leaves."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from model_importer import connection, progress, stream, upload
from model_importer.bucket import Bucket
from model_importer.files import File
from tests.conftest import ROOT
from tests.model_importer.conftest import Stage
from tests.model_importer.example import LARGE


@contextmanager
def s3_proxy() -> Iterator[str]:
    """Yield a URL at which another process reaches moto's S3."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {**self.headers, "host": "s3.amazonaws.com"}
            url = f"https://s3.amazonaws.com{self.path}"
            response = requests.request(self.command, url, headers=headers, data=body)
            self.send_response(response.status_code)
            for name in {"etag", "content-type", "last-modified"} & {name.lower() for name in response.headers}:
                self.send_header(name, response.headers[name])
            for name in (name for name in response.headers if name.lower().startswith("x-amz-")):
                self.send_header(name, response.headers[name])
            self.send_header("content-length", response.headers.get("content-length", str(len(response.content))))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Log nothing: tests read the bucket."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_killed_import_continues_in_the_middle_of_the_file(stage: Stage, large: bytes) -> None:
    stage.repository.stall_from = 2 * stream.PIECE
    with s3_proxy() as url:
        importer = subprocess.Popen(
            (sys.executable, "-m", "model_importer"), cwd=ROOT, stdout=subprocess.DEVNULL,
            env=os.environ | stage.variables() | {"AWS_ENDPOINT_URL": url},
        )  # fmt: skip
        end = time.monotonic() + 60
        while stage.part_count() < 2:
            assert importer.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        importer.kill()
        importer.wait()
    stage.repository.stall_from = None
    state = stage.run()
    assert stage.server.sent[LARGE] == len(large) - 2 * stream.PIECE
    assert stage.released(state["prefix"])[LARGE] == large
    assert (state["fetched"], state["bytes"][0]) == (1, state["bytes"][1])
    assert stage.part_count() == 0


def leave_uploads(stage: Stage, *uploads: dict[int, bytes]) -> str:
    """Leave open uploads of the large file with these parts, as killed runs do. Return its key."""
    stage.repository.dropped_connections[LARGE] = 10_000
    assert "error" in stage.run()
    stage.repository.dropped_connections.clear()
    (index,) = (key for key in stage.released() if key.endswith("model_index.json"))
    target = {"Bucket": "store", "Key": f"releases/{index.removesuffix('model_index.json')}{LARGE}"}
    content = (stage.repository.folder / LARGE).read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    for parts in uploads:
        created = stage.s3.create_multipart_upload(**target, Metadata={"digest": digest})
        for number, body in parts.items():
            stage.s3.upload_part(**target, UploadId=created["UploadId"], PartNumber=number, Body=body)
    return target["Key"]


@pytest.mark.parametrize(
    ("parts", "kept"),
    [([[2]], 0), ([[1, 3]], 1), ([[1, 2, 3]], 2), ([[1], [1, 2], [2]], 2)],
    ids=["no first part", "a gap", "all parts, not checked", "several uploads"],
)
def test_the_first_parts_of_a_killed_upload_are_kept(
    stage: Stage, large: bytes, parts: list[list[int]], kept: int
) -> None:
    pieces = {number: large[(number - 1) * stream.PIECE : number * stream.PIECE] for number in (1, 2, 3)}
    leave_uploads(stage, *({number: pieces[number] for number in numbers} for numbers in parts))
    state = stage.run()
    assert stage.server.sent[LARGE] == len(large) - kept * stream.PIECE
    assert stage.released(state["prefix"])[LARGE] == large
    assert stage.part_count() == 0


def test_kept_parts_with_a_wrong_digest_are_deleted(stage: Stage, large: bytes) -> None:
    key = leave_uploads(stage, {1: os.urandom(stream.PIECE)})
    assert re.search(f"{LARGE} .*sha256", stage.run()["error"])
    assert (key.removeprefix("releases/") in stage.released(), stage.part_count()) == (False, 0)
    state = stage.run()
    assert (stage.server.sent[LARGE], stage.released(state["prefix"])[LARGE]) == (len(large), large)


def test_a_second_interruption_loses_nothing(stage: Stage, large: bytes) -> None:
    key = leave_uploads(stage, {1: large[: stream.PIECE]})
    stage.repository.dropped_connections[LARGE] = 10_000
    assert "error" in stage.run()
    assert stage.s3.head_object(Bucket="store", Key=key)["ContentLength"] == stream.PIECE
    stage.repository.dropped_connections.clear()
    assert "error" not in stage.run()
    assert stage.server.sent[LARGE] == len(large) - stream.PIECE


def test_s3_copies_present_bytes_in_parts_of_allowed_size() -> None:
    assert list(upload._copy_ranges(0)) == []
    ranges = list(upload._copy_ranges(upload.COPY_BYTES * 2 + 1))
    assert [first for first, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, upload.COPY_BYTES * 2 + 1)
    assert min(end - first for first, end in ranges) > upload.COPY_BYTES / 2


def test_a_stream_reads_in_order_for_every_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 10)
    content = bytes(range(95))
    file = File("a", 95, "sha256:" + hashlib.sha256(content).hexdigest(), "", "a")
    for amount in (1, 7, 10, 25, 95, 200):
        with ThreadPoolExecutor(3) as pool:
            counted: list[int] = []
            opened = stream.Stream(file, lambda first, end: content[first:end], pool, counted.append)
            pieces = list(iter(functools.partial(opened.read, amount), b""))
        assert b"".join(pieces) == content
        assert {len(piece) for piece in pieces[:-1]} <= {amount}
        assert sum(counted) == 95


def test_a_stream_fetches_a_bounded_number_of_ranges_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 1)
    fetched: list[int] = []
    file = File("a", 100, "sha256:0", "", "a")
    with ThreadPoolExecutor(1) as pool:

        def fetch(first: int, end: int) -> bytes:
            fetched.append(first)
            return b"x"

        opened = stream.Stream(file, fetch, pool, lambda _: None)
        opened.read(1)
        opened.close()
    assert len(fetched) <= stream.RANGES_AHEAD


@pytest.mark.parametrize(("speed", "largest"), [(0.9e6, 1), (6e6, 4), (100e6, 16)])
def test_ranges_are_smaller_on_a_slow_connection(monkeypatch: pytest.MonkeyPatch, speed: float, largest: int) -> None:
    """The first is small, so that progress shows soon, and an interruption loses seconds."""
    mib, now, sizes = 1024 * 1024, [1.0], list[int]()
    monkeypatch.setattr("model_importer.stream.monotonic", lambda: now[0])

    def fetch(first: int, end: int) -> bytes:
        sizes.append(end - first)
        now[0] += (end - first) / speed
        return bytes(end - first)

    file = File("a", 150 * mib, "unknown:", "", "a")
    with ThreadPoolExecutor(1) as pool:
        opened = stream.Stream(file, fetch, pool, lambda _: None, smallest=stream.SMALL_PIECE)
        assert sum(len(data) for data in iter(functools.partial(opened.read, mib), b"")) == file.size
    assert sizes[0] == mib and max(sizes) <= largest * mib
    assert max(sizes) > (largest - 2) * mib
    assert {size % mib for size in sizes} == {0}


def test_ranges_ahead_do_not_exceed_the_connections() -> None:
    assert stream.RANGES_AHEAD <= connection.CONNECTIONS


def test_larger_files_have_larger_parts() -> None:
    sizes = (stream.PIECE * 10_000, stream.PIECE * 10_000 + 1)
    assert [upload.part_size(File("a", size, "", "", "a")) for size in sizes] == [stream.PIECE, stream.PIECE + 1]


def test_two_imports_at_the_same_time_use_the_same_plan(s3: Any) -> None:
    bucket = Bucket(s3, "store")
    assert bucket.write_once("sources/a.json", "first") == b"first"
    assert bucket.write_once("sources/a.json", "second") == b"first"


@pytest.mark.parametrize(
    ("files", "sizes", "expected"),
    [
        ([1, 2], [1_200_000_000, 4_570_000_000], "1 of 2 files, 1.20 of 4.57 GB, 9.6 MB/s"),
        ([0, 1], [1_234_567, 2_600_000], "1.2 of 2.6 MB, 9.6 MB/s"),
        ([0, 0], [0, 0], "finding the files"),
    ],
)
def test_progress_moves_for_a_small_file_too(files: list[int], sizes: list[int], expected: str) -> None:
    assert progress.render_progress({"files": files, "bytes": sizes, "mb_per_second": 9.6}) == expected


def test_progress_is_reported_while_it_runs() -> None:
    reported: list[dict[str, Any]] = []
    counters = progress.Progress(reported.append, seconds=0.01)
    counters.total_files, counters.total_bytes = 2, 4_570_000_000
    with counters:
        counters.add_fetched(1_200_000_000)
        counters.finish_file()
        before = len(reported)
        while len(reported) < before + 2:  # the first may have begun before
            time.sleep(0.01)
    assert re.fullmatch(r"1 of 2 files, 1.20 of 4.57 GB, [\d.]+ MB/s", progress.render_progress(reported[-1]))
