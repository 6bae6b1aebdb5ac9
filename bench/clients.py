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


async def send(http: httpx.AsyncClient, seed: int, end: float) -> float:
    """Generate one image, again after each refusal until `end`, and return the seconds of the last request."""
    body = {
        "prompt": PROMPTS[seed % len(PROMPTS)], "seed": seed, "width": EMOJI.side, "height": EMOJI.side,
        "num_inference_steps": EMOJI.steps, "guidance_scale": EMOJI.guidance_scale, "scheduler": EMOJI.scheduler,
    }  # fmt: skip
    while (began := time.monotonic()) < end:
        response = await http.post("/generate", json=body)
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            response.raise_for_status()
            break
        await asyncio.sleep(min(float(response.headers["retry-after"]), end - time.monotonic()))
    return time.monotonic() - began


async def generate(http: httpx.AsyncClient, clients: int, seeds: Iterator[int], seconds: float) -> tuple[float, float]:
    """Let the clients send requests for so long. Return the seconds an image and the median seconds of a request.

    Requests that end later do not count, but nothing runs after the return.
    """
    end, in_time = time.monotonic() + seconds, list[float]()

    async def client() -> None:
        while time.monotonic() < end:
            took = await send(http, next(seeds), end)
            if time.monotonic() < end:
                in_time.append(took)

    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds / len(in_time), statistics.median(in_time)


def plain_seconds(worker: Worker, seeds: Iterator[int], seconds: float) -> float:
    """Return B1's seconds an image."""
    began, images = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        seed, images = next(seeds), images + 1
        worker.request(do="time", prompt=PROMPTS[seed % len(PROMPTS)], seed=seed)
    return (time.monotonic() - began) / images


async def measure(url: str, worker: Worker, turns: int, seconds: float) -> dict[str, float]:
    """Return the medians of all turns."""
    b1, single, eight, seeds = list[float](), list[tuple[float, float]](), list[tuple[float, float]](), count()
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        await generate(http, CLIENTS, seeds, 20)  # starts further processes
        for turn in range(turns):
            print(f"turn {turn + 1} of {turns}", flush=True)
            b1.append(await asyncio.to_thread(plain_seconds, worker, seeds, seconds))
            single.append(await generate(http, 1, seeds, seconds))
            eight.append(await generate(http, CLIENTS, seeds, seconds))
    figures = {
        "b1_s": statistics.median(b1),
        "one_client_s": statistics.median(latency for _, latency in single),
        "eight_clients_s": statistics.median(image for image, _ in eight),
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
    parser.add_argument("--seconds", type=float, default=8, help="of each turn of each")
    options, this_machine, worker = parser.parse_args(), machine(), Worker("B1", "cpu")
    try:
        worker.load(ROOT / "models" / EMOJI.model, EMOJI)
        with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as running:
            figures = asyncio.run(measure(running.url, worker, options.turns, options.seconds))
    finally:
        worker.close()
    sys.exit(not report("clients", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
