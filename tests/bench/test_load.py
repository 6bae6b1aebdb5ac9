"""The load test, with few requests: it shows that the service refuses what it cannot do, and no times."""

import asyncio
import statistics
from pathlib import Path

import httpx
import pytest

from bench import load
from easel.laptop.handler_pool import KEPT_FREE
from tests.easel.running import Laptop

HANDLERS = 8


@pytest.mark.laptop
def test_requests_beyond_the_bound_are_refused_with_a_time(tmp_path: Path) -> None:
    async def measure(url: str) -> list[load.Result]:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            return await load.arrive(http, rate=40, seconds=1, unit=0.6)

    with Laptop(tmp_path) as laptop:
        results = asyncio.run(measure(laptop.url))
        assert laptop.http.get("/health").json()["status"] == "ok"
    accepted = [result for result in results if result.status == 200]
    assert load.failed(results) == 0
    assert HANDLERS - KEPT_FREE <= len(accepted) < len(results) / 2
    refused = [result.seconds for result in results if result.status == 429]
    assert statistics.median(refused) < statistics.median(result.seconds for result in accepted)


def test_a_refusal_without_a_time_has_failed() -> None:
    refusals = [load.Result(429, 0.1, 0.1, retry_after) for retry_after in ("5", "", "soon")]
    broken = [load.Result(status, 0.1, 0.1, "5") for status in (0, 500)]
    assert load.failed([load.Result(200, 0.1, 0.1, ""), *refusals, *broken]) == 4
    assert load.summary(1.2, [load.Result(202, 3.0, 0.1, ""), *refusals]) == {
        "1.2_requests": 4, "1.2_refused": 3, "1.2_median_s": 3.0, "1.2_p99_s": 3.0
    }  # fmt: skip
