"""A container without a model. It serves the routes of easel/laptop/container/server.py.

The prompt `slow <seconds>` takes that long, in ten steps, and `until <path>` until there is a file. `die` kills the
process. `fail <code>` responds with that error code. Each request adds its inference id to the file FAKE_JOURNAL.
/ping is 503 for FAKE_LOAD_SECONDS.
With the file FAKE_REQUESTS each request is added to it as JSON, images have their size, and progress has a preview.
It uses FAKE_MEGABYTES of memory. The model FAKE_BROKEN does not start; with the file FAKE_GPU only one model can run.
With FAKE_ONE_THREAD it says that it uses one thread.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STARTED = time.monotonic()
RUNNING: dict[str, Any] = {}
CANCELLED: set[str] = set()


def png(seed: int, width: int = 1, height: int = 1) -> bytes:
    """Return an image of one colour that depends on the seed."""
    line = b"\0" + seed.to_bytes(4, "big")[:3] * width
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(line * height)),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


MAGIC = {"png": b"", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


def generate(request: dict[str, Any], inference_id: str) -> dict[str, Any]:
    size = _record(request)
    command, _, argument = request["prompt"][0].partition(" ")
    if command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if command == "fail":
        return {"error": {"code": argument, "message": "as requested", "hint": "", "param": None}}
    for step, seconds in enumerate(_pauses(command, argument)):
        RUNNING.update(inference_id=inference_id, step=step + 1, steps=10)
        if size:
            RUNNING["preview"] = base64.b64encode(png(step)).decode()
        time.sleep(seconds)
        if inference_id in CANCELLED:
            return {"error": {"code": "cancelled", "message": "the job was cancelled", "hint": "", "param": None}}
    count = len(request["prompt"]) * request.get("num_images_per_prompt", 1)
    seeds = [(request["seed"] + i) % 2**32 for i in range(count)]
    magic = MAGIC[request.get("output_format", "png")]
    return {
        "generated_images": [base64.b64encode(magic + png(seed, *size)).decode() for seed in seeds],
        "seeds": seeds,
        "parameters": {"num_images_per_prompt": 1, "output_format": "png", "negative_prompt": "", **request},
        "timings": {"generate_s": 0.0},
        "warnings": [],
    }


def _pauses(command: str, argument: str) -> Iterator[float]:
    """Return the seconds of each step."""
    if command == "slow":
        yield from [float(argument.split()[0]) / 10] * 10
    while command == "until" and not Path(argument).exists():
        yield 0.02


def _record(request: dict[str, Any]) -> tuple[int, int] | tuple[()]:
    """Add the request to FAKE_REQUESTS. Return the size of its images, if there is that file."""
    if not (journal := os.environ.get("FAKE_REQUESTS")):
        return ()
    with Path(journal).open("a") as file:
        file.write(json.dumps(request) + "\n")
    return request["width"], request["height"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        loaded = time.monotonic() - STARTED >= float(os.environ.get("FAKE_LOAD_SECONDS", "0"))
        state = {"one_thread": "FAKE_ONE_THREAD" in os.environ}
        self.respond(RUNNING if self.path == "/progress" else state, 200 if loaded else 503)

    def do_POST(self) -> None:
        inference_id = self.headers["x-amzn-sagemaker-inference-id"]
        if self.path == "/cancel":
            CANCELLED.add(inference_id)
            self.respond({}, 200)
            return
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if journal := os.environ.get("FAKE_JOURNAL"):
            with Path(journal).open("a") as file:
                file.write(inference_id + "\n")
        response = generate(request, inference_id)
        RUNNING.clear()
        self.respond(response, 200)

    def respond(self, value: Any, status: int) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def occupy() -> Any:
    """Use what the variables say, and return it, so that it stays in use. Exits where that is not possible."""
    if json.loads(os.environ["EASEL_MODEL_PROFILE"])["id"] == os.environ.get("FAKE_BROKEN"):
        sys.exit("broken on purpose")
    ballast = b"x" * (int(os.environ.get("FAKE_MEGABYTES", "0")) * 10**6)
    if "FAKE_GPU" not in os.environ:
        return ballast
    gpu = os.open(os.environ["FAKE_GPU"], os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(gpu, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("the memory of the GPU is full")
    return ballast, gpu


if __name__ == "__main__":
    OCCUPIED = occupy()
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_known_args()[0].port), Handler).serve_forever()
