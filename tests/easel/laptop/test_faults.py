"""What the machine does to a running service: too few files, disks that fail for a moment, wrong certificates."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from contract import EaselError
from easel.laptop import dispatcher as module
from easel.laptop.catalogue import find
from easel.laptop.clock import InterruptibleClock
from easel.laptop.container.memory import Memory
from easel.laptop.container.models import Models
from easel.laptop.container.served_model import ServedModel
from easel.laptop.dispatcher import Dispatcher
from easel.laptop.gateway import connections
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage import durable
from easel.laptop.storage import store as store_module
from easel.laptop.storage.accounts import AccountFolder
from easel.laptop.storage.queue import Queue
from easel.laptop.storage.store import FolderStore
from jobs.ports import Ticket
from tests.easel.running import FAKE, MODEL, ROOT, SECONDS, Laptop, wait_for

TICKET = Ticket("a" * 16, "b" * 44)
HALF = b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"


# --- too many connections ------------------------------------------------------------------------


def responses_of(laptop: Laptop, count: int, stack: ExitStack) -> list[bytes]:
    """Open connections that send half a request. Return what the service sends at once to each that it accepts."""
    opened = []
    for _ in range(count):
        with suppress(OSError):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", laptop.port), timeout=SECONDS))
            connection.sendall(HALF)
            opened.append(connection)
    received = []
    for connection in opened:
        connection.settimeout(0.01)
        with suppress(OSError):
            received.append(connection.recv(4096))
    return received


@pytest.mark.laptop
def test_four_hundred_connections_end_nothing(tmp_path: Path) -> None:
    """With 256 open files, as macOS allows by default. Both limits are set, so the service cannot raise them."""
    with Laptop(tmp_path, before="ulimit -n 256") as laptop:
        before = laptop.submit()
        with ExitStack() as stack:
            responses = responses_of(laptop, 400, stack)
            assert any(response.startswith(b"HTTP/1.1 429 ") for response in responses)
            time.sleep(2)
            assert laptop.process.poll() is None, laptop.output
        wait_for(lambda: laptop.http.get("/health").status_code == 200)
        assert laptop.outcome(before)["status"] == "succeeded"
        assert laptop.outcome(laptop.submit())["status"] == "succeeded"
        assert "Traceback" not in laptop.output


@pytest.mark.laptop
def test_a_connection_too_many_is_too_busy(laptop: Laptop) -> None:
    limit = connections.MAX_CONNECTIONS
    with ExitStack() as stack:
        responses = responses_of(laptop, limit + 5, stack)
    assert any(b'"code":"too_busy"' in response for response in responses)
    wait_for(lambda: laptop.http.get("/health").status_code == 200)


def test_the_limit_of_open_files_is_raised() -> None:
    program = "import resource; from easel.laptop.up import raise_file_limit; raise_file_limit(); "
    program += "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    command = ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", sys.executable, "-c", program]
    soft, hard = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert soft == hard or int(soft) >= 10_000


# --- errors of a moment --------------------------------------------------------------------------

NUMBERS = [errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EIO, errno.EAGAIN, errno.ENOSPC, errno.EACCES]


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
@pytest.mark.parametrize("place", ["read", "queue"])
def test_an_error_of_a_moment_ends_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, place: str
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    error = OSError(number, os.strerror(number))
    errors = [error] * 3
    queue, store = Queue(tmp_path / "queue"), FolderStore(tmp_path / "store", Signer(b""))
    queue.put(TICKET, MODEL)

    def fail(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if errors:
                raise errors.pop()
            return original(*arguments, **options)

        return call

    if place == "read":
        monkeypatch.setattr(store_module, "read_file", fail(durable.read_file))
    if place == "queue":
        monkeypatch.setattr(Path, "unlink", fail(Path.unlink))
    models = Models([ServedModel(FAKE, find(MODEL), tmp_path / "model.log")], Memory())
    dispatcher = Dispatcher(
        queue=queue, store=store, models=models, clock=InterruptibleClock(),
        ledger=AccountFolder(tmp_path / "accounts"), on_end=lambda: None,
    )  # fmt: skip

    async def run() -> None:
        working = asyncio.create_task(dispatcher.run())
        while queue.waiting():
            assert not working.done()
            await asyncio.sleep(0.01)
        working.cancel()
        await models.stop()

    asyncio.run(asyncio.wait_for(run(), SECONDS))
    assert len(caplog.records) == 1


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_errors_of_the_disk_are_errors_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = FolderStore(tmp_path / "store", Signer(b""))
    store.write("jobs/a", b"1")

    def fail(*_: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "unlink", fail)
    monkeypatch.setattr(os, "scandir", fail)
    monkeypatch.setattr(store_module, "read_file", fail)
    retryable = number in (errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EIO, errno.EAGAIN)
    for call in (lambda: store.read("jobs/a"), lambda: store.delete("jobs/a"), lambda: store.list("jobs/", 1)):
        with pytest.raises(EaselError) as caught:
            call()
        assert caught.value.kind.retryable == retryable


def test_a_damaged_job_does_not_stop_the_queue(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop:
        blocker, damaged, other = laptop.submit("slow 1"), laptop.submit(), laptop.submit()
        owner = next((tmp_path / "store/jobs").iterdir())
        (owner / damaged / "job.json").write_bytes(b"")
        assert laptop.outcome(other)["status"] == "succeeded"
        assert laptop.job(blocker)["status"] == "succeeded"
        wait_for(lambda: not list((tmp_path / "queue").iterdir()))


# --- certificates --------------------------------------------------------------------------------


@pytest.mark.laptop
def test_certificates_do_not_matter_on_loopback(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nothing.pem")
    with Laptop(tmp_path / "data", SSL_CERT_FILE=nowhere, REQUESTS_CA_BUNDLE=nowhere) as laptop:
        assert laptop.outcome(laptop.submit())["status"] == "succeeded"
