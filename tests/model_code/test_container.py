"""The laptop's container as a process, over HTTP on loopback."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import render_profile
from tests.model_code.conftest import PROFILE

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
"""Longest wait for anything on a busy machine."""

# Responds with its arguments. `"wait"` in a body blocks until the file `go` exists, `"fail"` raises.
INFERENCE = """
import pathlib, time
class Model:
    healthy, on_step = True, None
def model_fn(model_dir, context=None):
    while (pathlib.Path(model_dir) / "loading").exists(): time.sleep(0.01)
    if (pathlib.Path(model_dir) / "broken").exists(): raise RuntimeError("no weights")
    if (pathlib.Path(model_dir) / "refused").exists(): return RuntimeError("no model")
    model = Model(); model.dir = pathlib.Path(model_dir)
    return model
def input_fn(body, content_type):
    return (type(body).__name__, len(body), content_type, body)
def predict_fn(data, model):
    kind, length, content_type, body = data
    if "fail" in str(body): raise ValueError("it failed")
    if "sick" in str(body): model.healthy = False
    if "cancellable" in str(body):
        model.on_step(3, 20)
        while not model.is_cancelled(): time.sleep(0.01)
    if "wait" in str(body):
        model.on_step(3, 20)
        model.on_preview("/9j/")
        while not (model.dir / "go").exists(): time.sleep(0.01)
    return [kind, length, content_type]
def output_fn(prediction, accept):
    return "%s %s" % (prediction, accept)
"""


class RunningContainer:
    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process, self.port = process, port

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            assert response.getheader("Content-Length") is not None
            return response.status, response.read().decode()
        finally:
            connection.close()

    def invoke(self, body: bytes = b"{}", content_type: str = "application/json", **headers: str) -> tuple[int, str]:
        return self.call("POST", "/invocations", body, content_type=content_type, **headers)

    def ping(self) -> int:
        return self.call("GET", "/ping")[0]


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(textwrap.dedent(INFERENCE))
    return tmp_path


@pytest.fixture
def serve() -> Iterator[Callable[..., RunningContainer]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> RunningContainer:
        command = [sys.executable, "-m", "easel.laptop.container.server", *arguments]
        settings: Any = {"cwd": ROOT, "env": os.environ | variables, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, **settings)
        started.append(process)
        assert process.stdout
        return RunningContainer(process, json.loads(process.stdout.readline())["port"])

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def container(serve: Callable[..., RunningContainer], release: Path) -> RunningContainer:
    started = serve("--model-dir", str(release), "--port", "0")
    wait_until(lambda: started.ping() == 200)
    return started


def test_ping_is_503_until_the_model_is_loaded(serve: Callable[..., RunningContainer], release: Path) -> None:
    (release / "loading").touch()
    container = serve("--model-dir", str(release), "--port", "0")
    assert container.ping() == 503
    (release / "loading").unlink()
    wait_until(lambda: container.ping() == 200)


def test_the_variables_of_the_cloud_are_the_defaults(serve: Callable[..., RunningContainer], release: Path) -> None:
    container = serve(SM_MODEL_DIR=str(release), SAGEMAKER_BIND_TO_PORT="0")
    wait_until(lambda: container.ping() == 200)


def test_the_functions_get_the_same_arguments_as_from_the_toolkit(container: RunningContainer) -> None:
    assert container.invoke('{"ü"}'.encode()) == (200, "['str', 5, 'application/json'] application/json")
    assert container.invoke(b"\xff\xfe", "application/x-npy", accept="image/png") == (
        200,
        "['bytes', 2, 'application/x-npy'] image/png",
    )
    assert container.invoke(accept="*/*")[1].endswith("application/json")


def test_an_exception_is_status_400(container: RunningContainer) -> None:
    status, response = container.invoke(b"fail")
    assert status == 400
    assert json.loads(response) == {"code": 400, "type": "InternalServerException", "message": "it failed"}
    assert container.invoke(b"\xff")[0] == 400  # the toolkit decodes before it calls
    assert container.invoke()[0] == 200


def test_cancel_ends_the_request_of_its_id(container: RunningContainer) -> None:
    names = ("running", "waiting")
    headers = [{"X_Amzn_SageMaker_Inference_Id": name} for name in names]
    threads = [threading.Thread(target=container.invoke, args=(b'"cancellable"',), kwargs=h) for h in headers]
    for name, thread in zip(names, threads, strict=True):
        thread.start()
        wait_until(lambda: json.loads(container.call("GET", "/progress")[1])["inference_id"] == "running")
        assert container.call("POST", "/cancel", b"", X_Amzn_SageMaker_Inference_Id="another")[0] == 200, name
    for header, thread in zip(headers, threads, strict=True):
        assert container.call("POST", "/cancel", b"", **header)[0] == 200
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_requests_run_one_at_a_time_and_report_progress(container: RunningContainer, release: Path) -> None:
    idle = {"inference_id": None, "step": None, "steps": None, "preview": None}
    assert json.loads(container.call("GET", "/progress")[1]) == idle
    responses: list[tuple[int, str]] = []
    headers = {"X_Amzn_SageMaker_Inference_Id": "o-1"}
    first = threading.Thread(target=lambda: responses.append(container.invoke(b"wait", **headers)))
    second = threading.Thread(target=lambda: responses.append(container.invoke(b"{}")))
    first.start()
    running = {"inference_id": "o-1", "step": 3, "steps": 20, "preview": "/9j/"}
    wait_until(lambda: json.loads(container.call("GET", "/progress")[1]) == running)
    second.start()
    assert container.ping() == 200
    second.join(0.3)
    assert not responses
    (release / "go").touch()
    first.join()
    second.join()
    assert sorted(status for status, _ in responses) == [200, 200]
    assert json.loads(container.call("GET", "/progress")[1]) == idle


def test_ping_is_503_for_an_unhealthy_model(container: RunningContainer) -> None:
    assert container.invoke(b"sick")[0] == 200
    assert container.ping() == 503


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /invocations HTTP/1.1\r\n\r\n", 411),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 411),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 6291457\r\n\r\n", 413),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 100000000000000\r\n\r\n", 413),
        (b"POST /other HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 404),
        (b"GET /other HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_malformed_requests_get_an_error_status(container: RunningContainer, head: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", container.port), timeout=SECONDS) as client:
        client.sendall(head)
        response = client.recv(4096)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Length: 0" in response
    assert container.ping() == 200


def test_a_client_may_disconnect(container: RunningContainer, release: Path) -> None:
    with socket.create_connection(("127.0.0.1", container.port), timeout=SECONDS) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 4\r\n\r\nwait")
        wait_until(lambda: json.loads(container.call("GET", "/progress")[1])["step"] == 3)
    (release / "go").touch()
    assert container.invoke()[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_during_a_request(container: RunningContainer, number: signal.Signals) -> None:
    with socket.create_connection(("127.0.0.1", container.port), timeout=SECONDS) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 4\r\n\r\nwait")
        wait_until(lambda: json.loads(container.call("GET", "/progress")[1])["step"] == 3)
        container.process.send_signal(number)
        assert container.process.wait(SECONDS) == 0


def test_it_ends_with_its_parent(release: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "command = [sys.executable, '-m', 'easel.laptop.container.server', '--model-dir', sys.argv[1], '--port', '0']\n"
        "child = subprocess.Popen(command)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(release)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert json.loads(parent.stdout.readline())["event"] == "serving"
        parent.kill()
    wait_until(lambda: not running(child))


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("failure", ["broken", "refused"])
def test_it_ends_if_the_model_does_not_load(
    serve: Callable[..., RunningContainer], release: Path, failure: str
) -> None:
    (release / failure).touch()
    assert serve("--model-dir", str(release), "--port", "0").process.wait(SECONDS) == 1


@pytest.mark.slow
def test_the_real_code_generates_the_same_images_as_predict_fn(
    serve: Callable[..., RunningContainer], folder: Path, model: Any, send: Callable[..., Any]
) -> None:
    variables = {"EASEL_MODEL_PROFILE": render_profile(PROFILE), "OMP_NUM_THREADS": "1"}  # as here
    container = serve("--model-dir", str(folder), "--code-dir", str(ROOT / "model_code"), "--port", "0", **variables)
    wait_until(lambda: container.ping() == 200, seconds=240)
    body = {"prompt": ["a", "b"], "seed": 7, "scheduler": "euler_a", "width": 128}
    status, response = container.invoke(json.dumps(body).encode())
    assert status == 200
    assert json.loads(response)["generated_images"] == send(replace(model), **body)["generated_images"]
