"""The laptop's service under load: `python -m bench.load [--seconds 20]`, about two minutes.

The model sleeps: a request of n images takes as long as a batch of n on a T4, scaled down (cost_units). Requests arrive
at random, at 0.5 to 1.2 of the capacity, and do not wait for each other.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.laptop import machine, report, service

LEVELS = (0.5, 0.8, 0.95, 1.2)
UNIT_SECONDS = 0.1
"""Time of a request of one image."""
MIX = {1: 0.8, 4: 0.15, 8: 0.05}
"""Images of a request, and the share of such requests."""
BATCH_SECONDS = {1: 6.4, 4: 25.2, 8: 50.7}
"""Batch size to seconds: Stable Diffusion 1.5, 512×512, 50 steps on a T4 (ONNX Runtime's published table, PyTorch)."""
CALIBRATION, CLIENTS = 15, 4
"""Requests that measure the capacity, and how many of them run at the same time."""
TARGETS = {"p99_ratio": 1.5, "errors": 0.5}


@dataclass(frozen=True)
class Result:
    """A request: the status of its response, the seconds until then, and those of the model."""

    status: int
    seconds: float
    model_seconds: float
    retry_after: str


async def send(http: httpx.AsyncClient, images: int, unit: float) -> Result:
    """Send a request for `images` images, and return its result. Connections that break have status 0."""
    model_seconds, started = unit * BATCH_SECONDS[images] / BATCH_SECONDS[1], time.monotonic()
    body = {"prompt": f"slow {model_seconds}", "num_images_per_prompt": images}
    try:
        response = await http.post("/generate", json=body)
    except httpx.HTTPError:
        return Result(0, time.monotonic() - started, model_seconds, "")
    seconds, retry_after = time.monotonic() - started, response.headers.get("retry-after", "")
    return Result(response.status_code, seconds, model_seconds, retry_after)


async def own_seconds(http: httpx.AsyncClient, unit: float) -> float:
    """Return the service's own seconds of a request: the median of requests one after the other."""
    results = [await send(http, 1, unit) for _ in range(CALIBRATION)]
    return statistics.median(result.seconds - result.model_seconds for result in results[3:])


async def capacity(http: httpx.AsyncClient, unit: float) -> float:
    """Return the requests of the mix that the service ends in a second while others wait."""
    waiting = _mix(random.Random(0), CALIBRATION)
    mean = sum(share * BATCH_SECONDS[images] for images, share in MIX.items()) / sum(
        BATCH_SECONDS[images] for images in waiting
    )

    async def client() -> None:
        while waiting:
            await send(http, waiting.pop(), unit)

    started = time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return 1 / (mean * (time.monotonic() - started))


async def arrive(http: httpx.AsyncClient, rate: float, seconds: float, unit: float) -> list[Result]:
    """Send requests at `rate` a second for `seconds`, at random times, and return their results."""
    chosen, requests = random.Random(1), []
    end, arrival = time.monotonic() + seconds, time.monotonic()
    while (arrival := arrival + chosen.expovariate(rate)) < end:
        await asyncio.sleep(arrival - time.monotonic())
        requests.append(asyncio.create_task(send(http, _mix(chosen, 1)[0], unit)))
    return list(await asyncio.gather(*requests))


def summary(level: float, results: Sequence[Result]) -> dict[str, float]:
    """Return the figures of a level."""
    accepted = sorted(result.seconds for result in results if result.status in (200, 202))
    refused = [result for result in results if result.status == 429]
    return {
        f"{level:g}_requests": len(results),
        f"{level:g}_refused": len(refused),
        f"{level:g}_median_s": statistics.median(accepted),
        f"{level:g}_p99_s": accepted[min(int(len(accepted) * 0.99), len(accepted) - 1)],
    }


def failed(results: Sequence[Result]) -> int:
    """Return how many requests have neither images, nor a job, nor a refusal that says when to come again."""
    return sum(
        result.status not in (200, 202) and not (result.status == 429 and result.retry_after.isdecimal())
        for result in results
    )


async def measure(url: str, seconds: float, unit: float = UNIT_SECONDS) -> dict[str, float]:
    """Return the figures of all levels."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as http:
        own, most, errors = await own_seconds(http, unit), await capacity(http, unit), 0
        figures = {"own_ms": own * 1000, "capacity_per_s": most}
        for level in LEVELS:
            results = await arrive(http, level * most, seconds, unit)
            figures |= summary(level, results)
            errors += failed(results)
    return figures | {"p99_ratio": figures["1.2_p99_s"] / figures["0.95_p99_s"], "errors": errors}


def _mix(chosen: random.Random, number: int) -> list[int]:
    return chosen.choices(list(MIX), list(MIX.values()), k=number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each level")
    parser.add_argument(
        "--unit", type=float, default=UNIT_SECONDS, help="seconds of an image; longer if others use the machine"
    )
    options, this_machine = parser.parse_args(), machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        figures = asyncio.run(measure(running.url, options.seconds, options.unit))
    sys.exit(not report("load", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
