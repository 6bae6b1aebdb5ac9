"""The container as a process of this machine: start it, watch it, and start it again when it dies."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from easel import ROOT
from easel.laptop.catalogue import Entry
from easel.laptop.container.client import ContainerClient
from easel.laptop.settings import SECRET_VARIABLE

PING_SECONDS = 0.1
STOP_SECONDS = 3.0
MAX_RESTART_SECONDS = 30.0
"""Longest pause before a restart."""


def free_port() -> int:
    """Return a port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ContainerProcess:
    """The process `python -m <module>`, which serves `entry` and writes to `log`. It ends with this process."""

    def __init__(self, module: str, entry: Entry, log: Path) -> None:
        port, secret = free_port(), secrets.token_hex(32)
        self.client, self.log = ContainerClient(port, secret), log
        self._command = [sys.executable, "-m", "easel.laptop.container.parent_watchdog", module]
        self._command += ["--model-dir", str(entry.folder), "--code-dir", str(ROOT / "model_code")]
        self._command += ["--port", str(port)]
        profile = entry.model.container_profile
        self._variables = {**os.environ, "EASEL_MODEL_PROFILE": profile, SECRET_VARIABLE: secret}
        self._process: asyncio.subprocess.Process | None = None
        self.failures = 0
        """Deaths since the container was last ready."""
        self.loaded = False
        """True after the running process reported its model as loaded."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ready(self) -> None:
        """Return when the model is loaded; start the process as often as that needs. Raises OSError."""
        while not (self.alive and self.loaded):
            if not self.alive:
                await self._restart()
            await asyncio.sleep(PING_SECONDS)
            self.loaded = await self._ping() == HTTPStatus.OK
        self.failures = 0

    async def check(self) -> None:
        """Kill a loaded process that reports itself as unhealthy."""
        if self.loaded and await self._ping() == HTTPStatus.SERVICE_UNAVAILABLE:
            await self.kill()

    async def kill(self) -> None:
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Terminate the process, and kill it after `STOP_SECONDS`."""
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            await self.kill()

    async def _ping(self) -> int | None:
        return await asyncio.to_thread(self.client.ping)

    async def _restart(self) -> None:
        self.loaded = False
        if self._process is not None:
            self.failures += 1
            await asyncio.sleep(min(0.2 * 2**self.failures, MAX_RESTART_SECONDS))
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env=self._variables,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError:
            self.failures += 1
            raise
