"""A container that draws nothing, at once: speaks /ping, /invocations and /progress like easel/laptop/container/server.py.

A prompt `slow <seconds>` takes so long, in ten steps; `die` kills the process; `say <code>` answers that error. Every
call is noted in the file FAKE_JOURNAL, and FAKE_LOAD_SECONDS pass before /ping is 200.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import struct
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
RUNNING: dict[str, Any] = {}


def png(seed: int) -> bytes:
    """One pixel; another one for another seed."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + seed.to_bytes(4, "big")[:3])),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


MAGIC = {"png": b"", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


def draw(request: dict[str, Any], inference_id: str) -> dict[str, Any]:
    word, _, rest = request["prompt"][0].partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "say":
        return {"error": {"code": rest, "message": "as asked", "hint": "", "param": None}}
    for step in range(10 if word == "slow" else 0):
        RUNNING.update(inference_id=inference_id, step=step + 1, steps=10)
        time.sleep(float(rest) / 10)
    count = len(request["prompt"]) * request.get("num_images_per_prompt", 1)
    seeds = [(request["seed"] + i) % 2**32 for i in range(count)]
    magic = MAGIC[request.get("output_format", "png")]
    return {
        "generated_images": [base64.b64encode(magic + png(seed)).decode() for seed in seeds],
        "seeds": seeds,
        "parameters": {"num_images_per_prompt": 1, "output_format": "png", "negative_prompt": "", **request},
        "timings": {"draw_s": 0.0},
        "warnings": [],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        loaded = time.monotonic() - BEGAN >= float(os.environ.get("FAKE_LOAD_SECONDS", "0"))
        self.answer(RUNNING if self.path == "/progress" else {}, 200 if loaded else 503)

    def do_POST(self) -> None:
        inference_id = self.headers["x-amzn-sagemaker-inference-id"]
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if journal := os.environ.get("FAKE_JOURNAL"):
            with Path(journal).open("a") as file:
                file.write(inference_id + "\n")
        answer = draw(request, inference_id)
        RUNNING.clear()
        self.answer(answer, 200)

    def answer(self, value: Any, status: int) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_known_args()[0].port), Handler).serve_forever()
