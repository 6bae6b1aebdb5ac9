"""A fake API, and `easel generate` in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.client import api as client
from tests.easel.client.fake_api import DONE, FakeApi, Received, job


@pytest.fixture
def api() -> Iterator[type[FakeApi]]:
    """The handler class of a running fake API, with its script and the requests that it received."""

    class Handler(FakeApi):
        jobs: ClassVar[list[Any]] = [DONE]
        submitted: ClassVar[tuple[int, Any]] = (202, job("queued", "Queued."))
        received: ClassVar[list[Received]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        Handler.url = f"http://127.0.0.1:{server.server_port}"
        yield Handler
        server.shutdown()


@pytest.fixture
def run_generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `easel generate a` with further arguments in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["easel"])
    for variable in ("EASEL_URL", "EASEL_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(client, "MIN_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client, "SUBMIT_PAUSES", (0.01, 0.01))

    def run(*arguments: str, **variables: str) -> Result:
        result = CliRunner().invoke(app, ["generate", "a", *arguments], env=variables)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run
