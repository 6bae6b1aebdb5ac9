"""`easel generate` with a server that sends anything: files stay in the folder, and errors have exit codes."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import Result

from easel.client import api as client
from easel.client.api import Api as Client
from easel.client.errors import InvalidResponseError
from easel.client.responses import DEPTH, parse_job, parse_problem
from easel.client.steps import Response, Send
from easel.client.transport import Transport
from easel.console.printable import UNPRINTABLE
from tests.easel.client.fake_api import DONE, FILES, ID, IMAGES, FakeApi, job

Api = type[FakeApi]
Generate = Callable[..., Result]

EXIT_CODES = {0, 1, 2, 3, 4}
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=80)
ESCAPES = "\x1b]0;title\x07\x9b31m\u202etxt.exe\u2028"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SUBMIT_PAUSES", ())
    monkeypatch.setattr(client, "POLL_PAUSES", ())


def check(done: Result, folder: Path) -> None:
    """Check what holds for every response. `folder` is the working directory; nothing else lies beside it."""
    assert done.exit_code in EXIT_CODES
    assert "Traceback" not in done.output
    assert not UNPRINTABLE.findall(done.output.replace("\n", ""))
    files = {path for path in folder.parent.rglob("*") if not path.is_dir()}
    assert all(file.parent == folder / "out" and file.suffix in {".png", ".jpg", ".webp"} for file in files)
    assert all(file.read_bytes() in FILES for file in files)


@pytest.fixture
def folder(tmp_path: Path, run_generate: Generate, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing beside it."""
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "../../up"},
        {"seed": "{folder}/canary"},
        {"seed": 7.0},
        {"seed": True},
        {"seed": -1},
        {"seed": 2**32},
        {"media_type": "image/pth"},
        {"media_type": "image/../../canary"},
        {"media_type": "image/svg+xml"},
        {"media_type": None},
        {"width": "9"},
        {"url": None},
        {"url": 7},
    ],
    ids=str,
)
def test_an_invalid_image_entry_writes_no_file(api: Api, run_generate: Generate, folder: Path, change: Any) -> None:
    change = {
        name: value.format(folder=folder.parent) if type(value) is str else value for name, value in change.items()
    }
    api.jobs[:] = [{**DONE, "images": [{**IMAGES[0], **change}]}]
    done = run_generate("--url", api.url)
    check(done, folder)
    assert done.exit_code == 3
    assert not (folder / "out").exists()


@pytest.mark.parametrize("prompt", ["../../up", "/etc/x", "a/b\\c", "..", ".", "\x00", ESCAPES, "ab" * 500])
def test_the_prompt_of_a_job_is_no_path(api: Api, run_generate: Generate, folder: Path, prompt: str) -> None:
    parameters = {"prompt": [prompt], "num_images_per_prompt": 2}
    api.jobs[:] = [{**DONE, "parameters": parameters}]
    done = run_generate("--url", api.url)
    check(done, folder)
    assert (done.exit_code, len(list((folder / "out").iterdir()))) == (0, 2)


def test_a_file_of_another_format_is_not_written(api: Api, run_generate: Generate, folder: Path) -> None:
    api.jobs[:] = [{**DONE, "images": [{**IMAGES[0], "url": "/files/1"}]}]
    done = run_generate("--url", api.url)
    check(done, folder)
    assert (done.exit_code, list(folder.rglob("*.*"))) == (3, [])


def test_links_in_the_folder_are_not_followed(api: Api, run_generate: Generate, folder: Path) -> None:
    victim = folder.parent / "victim"
    (folder / "out").mkdir()
    (folder / "out" / "7-a-red-apple.png").symlink_to(victim)
    done = run_generate("--url", api.url)
    assert (done.exit_code, victim.exists()) == (0, False)
    assert "out/7-a-red-apple-2.png" in done.stdout


@pytest.mark.parametrize(
    "link",
    [
        "http://easel.example/x", "file:///etc/passwd", "data:image/png;base64,AA", "ftp://127.0.0.1/x", "https://[::1",
        "https://", "//127.0.0.1/x", "https://a..b/", "HTTP://127.0.0.1:9/", "http://127.0.0.1:9/", "http://localhost:9/",
        "https://localhost:9/", "/\x00", "https://\x00", "", "@x",
    ],
)  # fmt: skip
def test_links_that_are_not_followed(monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    """An API on another machine leads to HTTPS only, and never to this machine."""
    requested: list[str] = []

    def receive(self: Transport, request: Send) -> None:
        requested.append(request.url)
        assert "key" not in str(request.headers)
        raise InvalidResponseError("requested")

    monkeypatch.setattr(Transport, "_receive", receive)
    with pytest.raises(InvalidResponseError):
        Transport().run(Client("https://easel.example/v1", "key", None).image(link, "image/png"))
    assert all(url.startswith("https://easel.example/v1/") for url in requested)


def test_links_of_the_same_server_need_no_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop behind a reverse proxy of the local network sends absolute links."""
    received = [Response("", 200, "", FILES[0]), Response("", 200, "", FILES[1])]
    monkeypatch.setattr(Transport, "_receive", lambda *_: received.pop(0))
    api = Client("http://192.0.2.1/easel/", None, None)
    assert Transport().run(api.image("http://192.0.2.1/easel/files/0", "image/png")) == FILES[0]
    with pytest.raises(InvalidResponseError):
        Transport().run(api.image("http://192.0.2.1:81/files/1", "image/jpeg"))


def test_redirects_are_not_followed(api: Api, run_generate: Generate, folder: Path) -> None:
    def redirect(self: FakeApi) -> None:
        self.keep(None)
        self.send_response(302)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    api.do_GET = redirect  # type: ignore[method-assign]
    assert run_generate("--url", api.url).exit_code == 2
    assert "/elsewhere" not in [request.path for request in api.received]


@pytest.mark.parametrize(
    ("method", "limit"), [("do_POST", "JSON_BYTES"), ("do_GET", "JSON_BYTES"), ("image", "IMAGE_BYTES")]
)
def test_an_endless_response_is_not_read(
    api: Api, run_generate: Generate, monkeypatch: pytest.MonkeyPatch, folder: Path, method: str, limit: str
) -> None:
    monkeypatch.setattr(client, limit, 2**20)
    sent = itertools.count()

    def endless(self: FakeApi) -> None:
        self.send_response(200)
        self.send_header("content-length", str(10**12))
        self.end_headers()
        with pytest.raises(OSError):
            while True:
                self.wfile.write(bytes(2**16))
                assert next(sent) < 1_000

    get = api.do_GET
    if method == "image":
        api.do_GET = lambda self: endless(self) if self.path.startswith("/files") else get(self)  # type: ignore[method-assign]
    else:
        setattr(api, method, endless)
    done = run_generate("--url", api.url)
    check(done, folder)
    assert done.exit_code == 3
    assert next(sent) < 1_000


DRIPS = {
    "body": (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b" "),
    "chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "status line": (b"HTTP/1.1 200 ", b"OK"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def drip(handler: FakeApi, start: bytes, drop: bytes) -> None:
    """Send `drop` again and again, for a minute: the timeout from byte to byte never ends."""
    with suppress(OSError):
        handler.wfile.write(start)
        for _ in range(1200):
            handler.wfile.write(drop)
            time.sleep(0.05)


@pytest.mark.parametrize("part", DRIPS)
@pytest.mark.parametrize("method", ["do_POST", "do_GET"])
def test_a_response_that_drips_is_not_read(
    api: Api, run_generate: Generate, monkeypatch: pytest.MonkeyPatch, folder: Path, method: str, part: str
) -> None:
    monkeypatch.setattr(client, "RESPONSE_SECONDS", 0.2)
    setattr(api, method, lambda self: drip(self, *DRIPS[part]))
    began = time.monotonic()
    done = run_generate("--url", api.url)
    check(done, folder)
    assert done.exit_code == 3
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("as_json", [True, False])
def test_a_succeeded_job_without_images_is_an_error(
    api: Api, run_generate: Generate, folder: Path, as_json: bool
) -> None:
    api.jobs[:] = [{**DONE, "images": []}]
    done = run_generate("--url", api.url, *(["--json"] if as_json else []))
    check(done, folder)
    assert (done.exit_code, done.stdout) == (3, "")


def test_a_failed_job_without_an_error_is_not_called_cancelled(api: Api, run_generate: Generate, folder: Path) -> None:
    api.submitted = (202, job("failed", "broken"))
    done = run_generate("--url", api.url)
    check(done, folder)
    assert done.exit_code == 1
    assert "cancelled" not in done.stderr


def test_no_text_of_a_server_reaches_the_terminal_raw(api: Api, run_generate: Generate, folder: Path) -> None:
    api.jobs[:] = [job("queued", ESCAPES), {**DONE, "warnings": [ESCAPES]}]
    done = run_generate("--url", api.url)
    check(done, folder)
    assert done.stderr.count("\\x1b]0;title\\x07\\x9b31m\\u202etxt.exe\\u2028") == 2
    api.jobs[:] = [{**DONE, "warnings": [ESCAPES], "parameters": {**DONE["parameters"], "x": ESCAPES}}]
    done = run_generate("--url", api.url, "--json")
    check(done, folder)
    assert json.loads(done.stdout)["warnings"] == [ESCAPES]
    problem = dict.fromkeys(("title", "detail", "hint", "message", "code"), ESCAPES)
    api.submitted = (500, {**problem, "invalid_params": [{"name": ESCAPES}], "retryable": False})
    check(run_generate("--url", api.url), folder)
    api.submitted = (202, job("failed", error={"code": ESCAPES, "message": ESCAPES, "hint": ESCAPES}))
    check(run_generate("--url", api.url), folder)


# --- generated responses -------------------------------------------------------------------------

STRINGS = st.text(max_size=20) | st.sampled_from(
    ["../../up", "/etc/x", ESCAPES, "image/png", "\ud800", ID, "succeeded"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3))
CHANGES = st.dictionaries(st.sampled_from(sorted(DONE)), VALUES, max_size=3)
IMAGE_CHANGES = st.dictionaries(st.sampled_from(sorted(IMAGES[0])), VALUES, max_size=2)


@pytest.mark.slow
@FUZZ
@given(
    change=CHANGES,
    image=IMAGE_CHANGES,
    removed=st.sets(st.sampled_from(sorted(DONE)), max_size=1),
    as_json=st.booleans(),
)
def test_generated_jobs(
    api: Api, run_generate: Generate, folder: Path, change: Any, image: Any, removed: set[str], as_json: bool
) -> None:
    shutil.rmtree(folder / "out", ignore_errors=True)
    done = {**DONE, "images": [{**IMAGES[0], **image}, IMAGES[1]], **change}
    done = {name: value for name, value in done.items() if name not in removed}
    if done.get("status") in ("queued", "running"):
        return
    api.jobs[:] = [done]
    check(run_generate("--url", api.url, *(["--json"] if as_json else [])), folder)


@pytest.mark.slow
@FUZZ
@given(status=st.integers(200, 599), body=VALUES)
@example(status=400, body={"invalid_params": 7, "title": [], "hint": {}, "retryable": "x"})
@example(status=403, body={"invalid_params": [7, {"name": []}, {}]})
def test_generated_errors(api: Api, run_generate: Generate, folder: Path, status: int, body: Any) -> None:
    api.submitted = (status, body)
    check(run_generate("--url", api.url), folder)


@FUZZ
@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 5_000)
@example(b"\xef\xbb\xbf{}")
@example(b'{"id":1,"id":2}')
@example(b"NaN")
def test_generated_bodies(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        parse_job(body)
    assert parse_problem(body).retryable


def test_deep_values_are_refused() -> None:
    deep: Any = 0
    for _ in range(DEPTH + 1):
        deep = [deep]
    with pytest.raises(InvalidResponseError):
        parse_job(json.dumps({**DONE, "parameters": {**DONE["parameters"], "x": deep}}).encode())


@contextmanager
def raw_server(response: bytes) -> Iterator[str]:
    """A server that sends the same bytes to everybody and closes the connection. Yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection, suppress(OSError):  # the client may have gone
                    connection.recv(65_536)
                    connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


LINES = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 302 x",
    "HTTP/1.1 999 x",
    "HTTP/1.0 204",
    "content-length: -1",
    "content-length: 9",
]
LINES += [
    "content-encoding: gzip",
    "transfer-encoding: chunked",
    "location: http://[::1",
    "location: file:///etc/passwd",
]
LINES += [
    "location: http://\xff..x/",
    "set-cookie: \xff\x1b=;;domain",
    "x: \x1b]0;t\x07",
    "",
    "ffffffffffffffff",
    "{}",
    "\x1f\x8b\x08",
]


@pytest.mark.slow
@settings(FUZZ, max_examples=50)
@given(
    st.lists(st.sampled_from(LINES), max_size=6).map(lambda lines: "\r\n".join(lines).encode("latin-1")) | st.binary()
)
def test_generated_bytes(run_generate: Generate, folder: Path, response: bytes) -> None:
    with raw_server(response) as url:
        done = run_generate("--url", url)
        check(done, folder)
        assert done.exit_code != 0
