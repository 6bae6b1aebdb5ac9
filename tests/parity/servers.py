"""The two servers under comparison, and calls to them."""

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
IMAGE = {
    "TEMP": "",  # ours: the image's is /tmp, which others of this machine use
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "UTF-8",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "MKL_THREADING_LAYER": "GNU",
    "DLC_CONTAINER_TYPE": "inference",
}
"""The variables of the image's Dockerfile that mean something here."""


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str
    """Its content type."""
    body: bytes
    seconds: float


class Server:
    """A program that serves SageMaker's container contract on loopback, from `with` to its end."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int, folder: Path) -> None:
        folder.mkdir()
        self.port, self._log = port, folder / "log"
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> float:
        """Seconds from the start to the first 200 of /ping."""
        while time.monotonic() - self.began < START_SECONDS and self.process.poll() is None:
            try:
                if self.call(b"", path="/ping", method="GET").status == 200:
                    return time.monotonic() - self.began
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{self.log[-4000:]}")

    def call(
        self, body: bytes, kind: str = JSON, path: str = "/invocations", method: str = "POST", **headers: str
    ) -> Answer:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"content-type": kind, **told})
            answer = connection.getresponse()
            read = answer.read()
            return Answer(answer.status, answer.getheader("content-type", ""), read, time.monotonic() - began)
        finally:
            connection.close()

    def ask_to_end(self) -> None:
        self.process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ask_to_end()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def laptop(release: Path, environment: Mapping[str, str], folder: Path, port: int = 8081) -> Server:
    """What `make up` runs, with the laptop's packages and the same variables."""
    command = [sys.executable, "-m", "easel.laptop.container.server", "--model-dir", str(release), "--port", str(port)]
    here = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return Server(command, here, port, folder)


class Image(Server):
    """The image's `serve` as process 1 of its own, in the room, with the release at /opt/ml/model."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = {**IMAGE, "PATH": path, "TEMP": str(folder), "HOME": str(folder), **environment}
        super().__init__([*alone, str(VENV / "bin" / "serve")], variables, 8080, folder)

    def ask_to_end(self) -> None:
        """As a container is asked: process 1 gets SIGTERM."""
        for child in psutil.Process(self.process.pid).children() if self.process.poll() is None else []:
            child.send_signal(signal.SIGTERM)

    def worker(self) -> psutil.Process:
        """The process that holds the model: the youngest of the server's."""
        return psutil.Process(self.process.pid).children(recursive=True)[-1]
