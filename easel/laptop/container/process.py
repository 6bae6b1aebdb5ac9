"""The container as a process of this machine: start it, watch it, and stop it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from easel import ROOT
from easel.laptop.catalogue import Entry
from easel.laptop.container.client import ContainerClient
from easel.laptop.settings import SECRET_VARIABLE
from jobs.ports import Ticket

PING_SECONDS = 0.1
STOP_SECONDS = 3.0


def free_port() -> int:
    """Return a port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ContainerProcess:
    """The process `python -m <module>`, which serves `entry` and writes to `log`. It ends with this process."""

    def __init__(self, module: str, entry: Entry, log: Path) -> None:
        secret = secrets.token_hex(32)
        self.client, self.log = ContainerClient(0, secret), log
        self._command = [sys.executable, "-m", "easel.laptop.container.parent_watchdog", module]
        self._command += ["--model-dir", str(entry.folder), "--code-dir", str(ROOT / "model_code")]
        profile = entry.model.container_profile
        self._variables = {**os.environ, "EASEL_MODEL_PROFILE": profile, SECRET_VARIABLE: secret}
        self._process: asyncio.subprocess.Process | None = None
        self._loaded = False
        self.one_thread = False
        """Whether it leaves all cores but one to other processes. Known after it was loaded."""
        self.ticket: Ticket | None = None
        """The job that it runs."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def loaded(self) -> bool:
        """Whether the running process has reported its model as loaded."""
        return self.alive and self._loaded

    @property
    def free(self) -> bool:
        """Whether it can run a job now."""
        return self.loaded and self.ticket is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.alive else None

    @property
    def killed(self) -> bool:
        """Whether the process was killed from outside, as a system does that has no memory left."""
        return self._process is not None and self._process.returncode == -signal.SIGKILL

    async def load(self) -> bool:
        """Start the process, and return True when the model is loaded, or False if the process ends before.

        Raises OSError.
        """
        await self.kill()  # it may still be stopping
        self._loaded, self.client.port = False, free_port()  # another program may have taken the port of the last time
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                f"--port={self.client.port}",
                env=self._variables,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while self.alive:
            await asyncio.sleep(PING_SECONDS)
            if await self._ping() != HTTPStatus.OK:
                continue
            one_thread = await asyncio.to_thread(self.client.uses_one_thread)
            if one_thread is not None:
                self.one_thread, self._loaded = one_thread, True
                break
        return self.loaded

    async def check(self) -> None:
        """Kill a loaded process that reports itself as unhealthy."""
        if self.loaded and await self._ping() == HTTPStatus.SERVICE_UNAVAILABLE:
            await self.kill()

    async def kill(self) -> None:
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def retire(self) -> None:
        """Let the process take no further job."""
        self._loaded = False

    async def stop(self) -> None:
        """Terminate the process, and kill it after `STOP_SECONDS`. It takes no further job from the first moment on."""
        self.retire()
        process = self._process
        if process is not None and self.alive:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                    await process.wait()
            if process is self._process:
                await self.kill()

    async def _ping(self) -> int | None:
        return await asyncio.to_thread(self.client.ping)


async def stop_all(processes: Collection[ContainerProcess]) -> None:
    """Stop processes at the same time. None takes a further job from the first moment on, before the tasks begin."""
    for process in processes:
        process.retire()
    await asyncio.gather(*(process.stop() for process in processes))
