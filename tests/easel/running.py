"""A running `easel up` for tests, by default with the fake container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.deploy.emulator.ports import free_port as free_port

ROOT = Path(__file__).resolve().parents[2]
MODEL = "emoji"
"""The catalogue entry whose profile and files the tests use."""
FAKE = "tests.easel.fake_container"
CONTAINER = "easel.laptop.container.parent_watchdog"
"""Module on the command line of every container process."""
ENDED = ("succeeded", "failed", "cancelled")
EASEL = (sys.executable, "-m", "easel")


SECONDS = 60.0
"""Longest wait for anything on a busy machine."""


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return the result of `condition` as soon as it is true."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"the condition was not met in {seconds} s"
        time.sleep(0.02)
    return result


class Laptop:
    """`with Laptop(folder) as laptop` starts a service and waits until it is ready. At the end no process is left.

    `output` is what it has written to standard error. `before`: shell commands before it, such as `umask 0`.
    """

    def __init__(self, data: Path, *options: str, container: str = FAKE, before: str = "", **variables: str) -> None:
        self.data, self.port, self.output = data, free_port(), ""
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = self.client()
        self._command = [*EASEL, "up", "--port", str(self.port), "--data", str(data), *options]
        self._command += ["--container", container, *(() if "--model" in options else ("--model", MODEL))]
        if before:
            self._command = ["sh", "-c", f'{before}; exec "$@"', "sh", *self._command]
        self._variables = {**os.environ, **variables}

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)
        self.http.close()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._variables, stderr=subprocess.PIPE, start_new_session=True
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Wait until it has printed everything that it prints at its start."""
        wait_for(lambda: "Press Ctrl-C" in self.output or self.process.poll() is not None, 5 * SECONDS)
        assert self.process.poll() is None, self.output

    def client(self) -> httpx.Client:
        """Return a client that uses no connection which the service may close at the same moment."""
        limits = httpx.Limits(keepalive_expiry=1)
        return httpx.Client(base_url=self.url, timeout=SECONDS, limits=limits, trust_env=False)

    def _read_output(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output += line.decode()

    def processes(self) -> list[psutil.Process]:
        """Return every process of the service."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def container(self) -> psutil.Process:
        """Return the container's process as soon as it runs."""

        (process, *_) = wait_for(self.container_processes)
        return process

    def container_processes(self) -> list[psutil.Process]:
        return [process for process in self.processes() if CONTAINER in _command(process)]

    def stop(self, number: signal.Signals) -> int:
        """Send the signal to `easel up` only, check that all of its processes end, and return the exit code."""
        processes = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        _, alive = psutil.wait_procs(processes, SECONDS)
        assert not alive, f"still running: {[process.cmdline() for process in alive]}"
        self._reader.join(SECONDS)  # the last lines, and nobody reads a pipe while it is closed
        if self.process.stderr:
            self.process.stderr.close()
        return code

    def submit(self, prompt: Any = "a red apple", **fields: Any) -> str:
        """Submit a job and return its id."""
        response = self.http.post("/jobs", json={"prompt": prompt, **fields})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/jobs/{id}").json()
        return job

    def outcome(self, id: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the job when it has ended."""
        job: dict[str, Any] = wait_for(lambda: (job := self.job(id))["status"] in ENDED and job, seconds)
        return job


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
