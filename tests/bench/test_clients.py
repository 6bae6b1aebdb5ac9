"""The benchmark of eight clients, for a second: it shows that refused clients come again, and no times."""

import asyncio
from itertools import count
from pathlib import Path

import httpx
import pytest

from bench import clients
from easel.laptop.handler_pool import KEPT_FREE
from tests.bench.test_load import HANDLERS
from tests.easel.running import Laptop


@pytest.mark.laptop
def test_images_of_all_clients_are_counted_until_the_end(tmp_path: Path) -> None:
    async def measure(url: str) -> tuple[float, float]:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            return await clients.generate(http, clients.CLIENTS, count(), 2)

    assert clients.CLIENTS > HANDLERS - KEPT_FREE, "some are refused"
    with Laptop(tmp_path, FAKE_REQUESTS=str(tmp_path / "requests")) as laptop:
        seconds, latency = asyncio.run(measure(laptop.url))
        assert {job["status"] for job in laptop.http.get("/jobs").json()["jobs"]} == {"succeeded"}
    generated = len((tmp_path / "requests").read_text().splitlines())
    assert 0 < 2 / seconds <= generated
    assert 0 < latency < 2
