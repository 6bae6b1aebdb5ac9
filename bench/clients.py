"""Eight clients of the embedded model: `python -m bench.clients`, two minutes on a quiet machine.

B1 of bench/inference generates one image after the other, without a service. Easel is `easel up`, with one client and
with eight at the same time, whose requests for one image go to POST /generate. The three take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx

from bench.inference.cases import EMOJI, PROMPTS, ROOT
from bench.inference.worker import Worker
from bench.laptop import machine, report, service

CLIENTS = 8
TARGETS = {"seconds_of_b1": 1 / 1.5, "latency_of_b1": 1.2}
"""Seconds an image with eight clients, and those of a request of one client, both divided by B1's seconds an image."""


async def send(http: httpx.AsyncClient, seed: int) -> float:
    """Generate one image, after as many refusals as there are, and return the seconds of the last request."""
    body = {
        "prompt": PROMPTS[seed % len(PROMPTS)], "seed": seed, "width": EMOJI.side, "height": EMOJI.side,
        "num_inference_steps": EMOJI.steps, "guidance_scale": EMOJI.guidance_scale, "scheduler": EMOJI.scheduler,
    }  # fmt: skip
    while True:
        began = time.monotonic()
        response = await http.post("/generate", json=body)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            await asyncio.sleep(float(response.headers["retry-after"]))
            continue
        response.raise_for_status()
        return time.monotonic() - began


async def generate(http: httpx.AsyncClient, clients: int, seeds: Iterator[int], images: int) -> tuple[float, float]:
    """Return the seconds an image and the median seconds of a request."""
    left, seconds = iter(range(images)), list[float]()

    async def client() -> None:
        for _ in left:
            seconds.append(await send(http, next(seeds)))

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    return (time.monotonic() - began) / images, statistics.median(seconds)


def plain_seconds(worker: Worker, seeds: Iterator[int], images: int) -> float:
    """Return B1's seconds an image."""
    began = time.monotonic()
    for _ in range(images):
        seed = next(seeds)
        worker.request(do="time", prompt=PROMPTS[seed % len(PROMPTS)], seed=seed)
    return (time.monotonic() - began) / images


async def measure(url: str, worker: Worker, turns: int, images: int) -> dict[str, float]:
    """Return the medians of all turns."""
    b1, one, eight, seeds = list[float](), list[tuple[float, float]](), list[tuple[float, float]](), count()
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        await generate(http, CLIENTS, seeds, 3 * CLIENTS)  # starts further processes
        for turn in range(turns):
            print(f"turn {turn + 1} of {turns}", flush=True)
            b1.append(await asyncio.to_thread(plain_seconds, worker, seeds, images))
            one.append(await generate(http, 1, seeds, images))
            eight.append(await generate(http, CLIENTS, seeds, 4 * images))
    figures = {
        "b1_s": statistics.median(b1),
        "one_client_s": statistics.median(latency for _, latency in one),
        "eight_clients_s": statistics.median(seconds for seconds, _ in eight),
        "eight_latency_s": statistics.median(latency for _, latency in eight),
    }
    ratios = {
        "seconds_of_b1": figures["eight_clients_s"] / figures["b1_s"],
        "latency_of_b1": figures["one_client_s"] / figures["b1_s"],
    }
    return figures | ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=10, help="of B1 and of one client in each turn")
    options, this_machine, worker = parser.parse_args(), machine(), Worker("B1", "cpu")
    try:
        worker.load(ROOT / "models" / EMOJI.model, EMOJI)
        with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as running:
            figures = asyncio.run(measure(running.url, worker, options.turns, options.images))
    finally:
        worker.close()
    sys.exit(not report("clients", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
