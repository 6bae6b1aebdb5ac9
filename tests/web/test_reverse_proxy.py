"""The page in Chromium, behind a reverse proxy and below a path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import npm
from tests.easel.reverse_proxy import PREFIX, reverse_proxy
from tests.easel.running import Laptop, free_port

HOST = "easel.example"


@pytest.fixture(scope="module")
def ports(page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of a proxy that does not run yet, and of the Easel that is to be behind it."""
    port, data = free_port(), tmp_path_factory.mktemp("proxied")
    url = f"http://{HOST}:{port}{PREFIX}/"
    with Laptop(data / "jobs", "--public-url", url, FAKE_REQUESTS=str(data / "requests")) as laptop:
        yield port, laptop.port


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
