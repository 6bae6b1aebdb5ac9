"""The two servers that are compared, and requests to them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from tests.deploy.harness.environment import ROOT
from tests.parity.environment import VENV

JSON = "application/json"
START_SECONDS = 120
IMAGE_VARIABLES = {
    "TEMP": "",  # set below: the image's is /tmp, which others on this machine use
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "UTF-8",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "MKL_THREADING_LAYER": "GNU",
    "DLC_CONTAINER_TYPE": "inference",
}
"""The variables of the image's Dockerfile that have an effect here."""


@dataclass(frozen=True)
class Response:
    status: int
    content_type: str
    body: bytes
    seconds: float


class Server:
    """A program that serves SageMaker's container interface on loopback. As a context manager it ends the program."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], port: int, folder: Path) -> None:
        folder.mkdir()
        self.port, self._log = port, folder / "log"
        self.started = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> float:
        """Wait until /ping is 200. Return the seconds since the start."""
        while time.monotonic() - self.started < START_SECONDS and self.process.poll() is None:
            try:
                if self.request(b"", path="/ping", method="GET").status == 200:
                    return time.monotonic() - self.started
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{self.log[-4000:]}")

    def request(
        self, body: bytes, content_type: str = JSON, path: str = "/invocations", method: str = "POST", **headers: str
    ) -> Response:
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"content-type": content_type, **all_headers})
            response = connection.getresponse()
            content = response.read()
            seconds = time.monotonic() - started
            return Response(response.status, response.getheader("content-type", ""), content, seconds)
        finally:
            connection.close()

    def terminate(self) -> None:
        self.process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def laptop_server(release: Path, variables: Mapping[str, str], folder: Path, port: int = 8081) -> Server:
    """Start the container of `make up` with the laptop's packages and the given variables."""
    command = [sys.executable, "-m", "easel.laptop.container.server", "--model-dir", str(release), "--port", str(port)]
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return Server(command, own, port, folder)


class ImageServer(Server):
    """The image's `serve` as process 1 of a PID namespace. Needs the sandbox with the release at /opt/ml/model."""

    def __init__(self, variables: Mapping[str, str], folder: Path) -> None:
        unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {**IMAGE_VARIABLES, "PATH": path, "TEMP": str(folder), "HOME": str(folder), **variables}
        super().__init__([*unshare, str(VENV / "bin" / "serve")], own, 8080, folder)

    def terminate(self) -> None:
        """Send SIGTERM to process 1, as for a container."""
        for child in psutil.Process(self.process.pid).children() if self.process.poll() is None else []:
            child.send_signal(signal.SIGTERM)

    def worker(self) -> psutil.Process:
        """Return the process that holds the model: the youngest of the server's."""
        return psutil.Process(self.process.pid).children(recursive=True)[-1]
