"""Time that the API adds to the model: `python -m bench.api_overhead`, half a minute.

POST /generate through gateway, store, queue and dispatcher, with a container that responds at once. On AWS the
authorizer runs before each request: its own time, over a table that responds at once.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx

from bench.laptop import ROOT, machine, report, service

REQUESTS = 200
TARGETS = {"median_ms": 10.0, "authorizer_ms": 5.0}


def measure(url: str, requests: int) -> list[float]:
    """Return the milliseconds of each request, after ten that are not counted."""
    times = []
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in range(requests + 10):
            started = time.perf_counter()
            http.post("/generate", json={"prompt": "a red apple"}).raise_for_status()
            times.append((time.perf_counter() - started) * 1000)
    return times[10:]


class _Table(BaseHTTPRequestHandler):
    """DynamoDB with one item."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None: ...


def measure_authorizer(requests: int) -> list[float]:
    """Return the milliseconds of each request with a key, after ten that are not counted."""
    sys.path.insert(0, str(ROOT / "lambda"))
    from api_keys.authorizer import Authorizer
    from api_keys.keys import new_key
    from aws.ledger import AccountTable
    from aws.operator_key import GatewayKey

    text, key = new_key("bench", time.time(), 1, [])
    _Table.body = json.dumps({"Item": {"json": {"S": json.dumps(asdict(key))}}}).encode()
    times = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Table) as table:
        threading.Thread(target=table.serve_forever, daemon=True).start()
        names = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
        client = boto3.client("dynamodb", endpoint_url=f"http://127.0.0.1:{table.server_port}", **names)
        keys = AccountTable("table", client)
        authorizer = Authorizer(keys=keys, operator=GatewayKey("none"), usage_prefix="usage-", now=time.time)
        event = {"headers": {"authorization": f"Bearer {text}"}, "path": "/generate", "methodArn": "arn"}
        for _ in range(requests + 10):
            started = time.perf_counter()
            response = authorizer(event)
            times.append((time.perf_counter() - started) * 1000)
            assert response["context"]["owner"] == key.id
        table.shutdown()
    return times[10:]


def main() -> None:
    this_machine = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), "--container", "tests.easel.fake_container") as running,
    ):
        times = sorted(measure(running.url, REQUESTS))
    authorizer = statistics.median(measure_authorizer(REQUESTS))
    figures = {"median_ms": statistics.median(times), "p95_ms": times[int(len(times) * 0.95)], "max_ms": times[-1]}
    figures |= {"authorizer_ms": authorizer}
    sys.exit(not report("api_overhead", {"requests": len(times), **figures}, TARGETS, this_machine))


if __name__ == "__main__":
    main()
