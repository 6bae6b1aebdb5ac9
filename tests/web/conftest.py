"""A running Easel for the tests of the page."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

READY_SECONDS = 120


@pytest.fixture(scope="session")
def easel(page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an Easel with the embedded model."""
    port, data = _free_port(), tmp_path_factory.mktemp("easel")
    log = data / "up.log"
    command = [sys.executable, "-m", "easel", "up", "--port", str(port), "--data", str(data / "jobs")]
    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        try:
            _wait_until_ready(process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(READY_SECONDS * 5):
        if "Ready in" in log.read_text():
            return
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"Easel did not become ready:\n{log.read_text()}", pytrace=False)
