"""The page in Chromium, behind a reverse proxy and below a path."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, npm, wait_until_ready
from tests.deploy.emulator.ports import free_port
from tests.easel.reverse_proxy import PREFIX, reverse_proxy

HOST = "easel.example"


@pytest.fixture(scope="module")
def ports(page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of a proxy that does not run yet, and of the Easel that is to be behind it."""
    port, target, data = free_port(), free_port(), tmp_path_factory.mktemp("proxied")
    log = data / "up.log"
    command = [sys.executable, "-m", "easel", "up", "--port", str(target), "--data", str(data / "jobs")]
    command += ["--public-url", f"http://{HOST}:{port}{PREFIX}/"]
    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(process, log)
            yield port, target
        finally:
            process.terminate()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("keeps", [True, False], ids=["keeps host and path", "strips the path, own host"])
def test_the_page_works(ports: tuple[int, int], chromium: str, keeps: bool) -> None:
    port, target = ports
    with reverse_proxy(target, keep_host=keeps, keep_path=keeps, port=port):
        npm(
            *("run", "e2e", "--", "proxy.e2e.ts"), seconds=600,
            EASEL_URL=f"http://{HOST}:{port}{PREFIX}/", CHROMIUM=chromium,
            CHROMIUM_ARGUMENTS=f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
        )  # fmt: skip
