"""A fake API, and `easel` run in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.client import api as client
from easel.client import generate
from tests.easel.client.fake_api import DONE, FakeApi, job


@pytest.fixture
def api() -> Iterator[type[FakeApi]]:
    """The handler of a running fake API. Its `url` is in the environment variable EASEL_URL of `easel`."""
    handler = type(
        "Handler", (FakeApi,), {"jobs": [DONE], "submitted": (202, job("queued", "Queued.")), "received": []}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        handler.url = f"http://127.0.0.1:{server.server_port}"
        yield handler
        server.shutdown()


@pytest.fixture
def easel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `easel generate a` with further arguments in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["easel"])
    for variable in ("EASEL_URL", "EASEL_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(generate, "MIN_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client, "SUBMIT_PAUSES", (0.01, 0.01))

    def run(*arguments: str, **variables: str) -> Result:
        result = CliRunner().invoke(app, ["generate", "a", *arguments], env=variables)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run
