"""The container as a process of this machine: started, watched, and started again when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from contract import render_profile
from easel import ROOT
from easel.laptop.catalogue import Entry
from easel.laptop.container.client import ContainerClient

PING_SECONDS = 0.1
STOP_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 30.0


def free_port() -> int:
    """A port of the loopback interface that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ModelProcess:
    """`python -m <module>`, a container for `entry`; its words go to `log`. It ends with us (see `lifeline`)."""

    def __init__(self, module: str, entry: Entry, log: Path) -> None:
        self.port, self.log = free_port(), log
        self._command = [
            sys.executable,
            "-m",
            "easel.laptop.container.parent_watchdog",
            module,
            "--model-dir",
            str(entry.folder),
        ]
        self._command += ["--code-dir", str(ROOT / "model_code"), "--port", str(self.port)]
        self._variables = {**os.environ, "EASEL_MODEL_PROFILE": render_profile(entry.profile)}
        self._process: asyncio.subprocess.Process | None = None
        self._client = ContainerClient(self.port)
        self.failures = 0
        """How often it died since it was last ready."""
        self.loaded = False
        """True from when the running process was first seen ready."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ready(self) -> None:
        """Returns when the model is loaded, however often it must be started for that; at once where it is."""
        while not (self.alive and self.loaded):
            if not self.alive:
                await self._restart()
            await asyncio.sleep(PING_SECONDS)
            self.loaded = await self._ping() == HTTPStatus.OK
        self.failures = 0

    async def check(self) -> None:
        """Ends a process that says of itself that it cannot draw any more."""
        if self.loaded and await self._ping() == HTTPStatus.SERVICE_UNAVAILABLE:
            await self.kill()

    async def kill(self) -> None:
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end, then makes it."""
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            await self.kill()

    async def _ping(self) -> int | None:
        return await asyncio.to_thread(self._client.ping)

    async def _restart(self) -> None:
        self.loaded = False
        if self._process is not None:
            self.failures += 1
            await asyncio.sleep(min(0.2 * 2**self.failures, LONGEST_PAUSE_SECONDS))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._variables,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
