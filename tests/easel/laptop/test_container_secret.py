"""The model container's port: only this service may use it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from easel.laptop.container.client import ContainerClient
from easel.laptop.settings import SECRET_HEADER, SECRET_VARIABLE
from tests.easel.running import FAKE, ROOT, SECONDS, Laptop, wait_for

SECRET = "0123456789abcdef"
INFERENCE = """
import os
def model_fn(model_dir): return object.__new__(type("Model", (), {}))
def input_fn(body, content_type): return body
def predict_fn(data, model): return data
def output_fn(prediction, accept): return str("SECRET_NAME" in os.environ)
""".replace("SECRET_NAME", SECRET_VARIABLE)

Start = Callable[[str], int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a container with a secret, and return its port."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text(INFERENCE)
    processes: list[subprocess.Popen[str]] = []

    def starting(secret: str) -> int:
        command = [sys.executable, "-m", "easel.laptop.container.server", "--model-dir", str(tmp_path), "--port", "0"]
        variables = {**os.environ, SECRET_VARIABLE: secret}
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        port: int = json.loads(process.stdout.readline())["port"]
        wait_for(lambda: ContainerClient(port, secret).ping() == 200)
        return port

    yield starting
    for process in processes:
        process.kill()
        process.communicate()


def status(port: int, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, b"{}" if method == "POST" else None, sent)
        return connection.getresponse().status
    finally:
        connection.close()


REQUESTS = [("GET", "/ping"), ("GET", "/progress"), ("POST", "/invocations"), ("POST", "/other"), ("GET", "/other")]


@pytest.mark.parametrize("sent", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: SECRET[:-1]}, {SECRET_HEADER: "é"}])
def test_every_request_needs_the_secret(start: Start, sent: dict[str, str]) -> None:
    port = start(SECRET)
    for method, path in REQUESTS:
        assert status(port, method, path, **sent) == 403
    assert status(port, "POST", "/invocations", **{SECRET_HEADER: SECRET}) == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:8080"}, {"host": ""}, {"host": "[::1"}, {"origin": "null"},
     {"origin": "http://127.0.0.1:3000"}, {"origin": "https://evil.example"}],
)  # fmt: skip
@pytest.mark.parametrize("secret", [SECRET, ""])
def test_pages_are_refused_with_and_without_a_secret(start: Start, secret: str, headers: dict[str, str]) -> None:
    port = start(secret)
    for method, path in REQUESTS:
        assert status(port, method, path, **{SECRET_HEADER: secret}, **headers) == 403


def test_without_a_secret_it_serves_as_sagemaker_does(start: Start) -> None:
    port = start("")
    for host in (f"127.0.0.1:{port}", "localhost"):
        assert status(port, "GET", "/ping", host=host) == 200
        assert status(port, "POST", "/invocations", host=host) == 200


def test_the_model_code_does_not_see_the_secret(start: Start) -> None:
    port = start(SECRET)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("POST", "/invocations", b"{}", {SECRET_HEADER: SECRET})
    assert connection.getresponse().read() == b"False"
    connection.close()


@pytest.mark.slow
@pytest.mark.laptop
def test_each_start_has_another_secret(tmp_path: Path) -> None:
    """The canary: a request that knows only the port generates nothing."""
    secrets = []
    for container in ("easel.laptop.container.server", FAKE):
        with Laptop(tmp_path, container=container) as laptop:
            process = laptop.container()
            secrets.append(process.environ()[SECRET_VARIABLE])
            assert secrets[-1] not in " ".join(process.cmdline())
            if container == FAKE:  # the loading of a model takes seconds
                continue
            port = next(c.laddr.port for c in process.net_connections() if c.status == psutil.CONN_LISTEN)
            assert {status(port, method, path) for method, path in REQUESTS} == {403}
            assert laptop.outcome(laptop.submit(width=64, height=64, num_inference_steps=1))["status"] == "succeeded"
    assert len({*secrets}) == 2
    assert min(map(len, secrets)) >= 32
