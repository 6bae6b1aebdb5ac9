"""A running `easel up` for tests, most of them before a container that draws at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
MODEL = "emoji"
"""The entry of the catalogue whose profile and files the tests use."""
FAKE = "tests.easel.fake_container"
ENDED = ("succeeded", "failed", "cancelled")
EASEL = (sys.executable, "-m", "easel")


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `condition` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Laptop:
    """`with Laptop(folder) as laptop`: up and ready; stopped at the end, and nothing of it is left."""

    def __init__(self, data: Path, *options: str, container: str = FAKE, **variables: str) -> None:
        self.data, self.port, self.said = data, free_port(), ""
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self._command = [*EASEL, "up", "--port", str(self.port), "--data", str(data), "--model", MODEL]
        self._command += ["--container", container, *options]
        self._variables = {**os.environ, **variables}

    def __enter__(self) -> Laptop:
        self.start()
        until(lambda: "Ready" in self.said or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.said
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)
        self.http.close()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._variables, stderr=subprocess.PIPE, start_new_session=True
        )
        self.said = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said += line.decode()

    def family(self) -> list[psutil.Process]:
        """Every process of it."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def part(self, module: str) -> psutil.Process:
        """A process of it that runs the module, as soon as there is one."""
        found: psutil.Process = until(lambda: next((one for one in self.family() if module in _command(one)), None))
        return found

    def stop(self, number: signal.Signals) -> int:
        """Sends the signal to `easel up` alone, and sees that all of its processes end."""
        family = self.family()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(10)
        _, alive = psutil.wait_procs(family, 10)
        assert not alive, f"left: {[member.cmdline() for member in alive]}"
        if self.process.stderr:
            self.process.stderr.close()
        return code

    def submit(self, prompt: Any = "a red apple", **more: Any) -> str:
        """The id of an accepted job."""
        answer = self.http.post("/jobs", json={"prompt": prompt, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/jobs/{id}").json()
        return found

    def outcome(self, id: str, seconds: float = 30) -> dict[str, Any]:
        """The job when it has ended."""
        found: dict[str, Any] = until(lambda: (job := self.job(id))["status"] in ENDED and job, seconds)
        return found


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
