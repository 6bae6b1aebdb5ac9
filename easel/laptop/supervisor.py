"""All processes of one laptop: started in order, watched, and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Iterator
from html import escape
from pathlib import Path
from typing import Any

import uvicorn

from contract import render_profile
from easel import ROOT
from easel.console.errors import CommandError
from easel.console.terminal import Terminal
from easel.laptop.catalogue import Entry
from easel.laptop.clock import WakefulClock
from easel.laptop.container.client import ContainerClient
from easel.laptop.container.process import PING_SECONDS, ModelProcess
from easel.laptop.dispatcher import Dispatcher
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.http_timeouts import PatientProtocol
from easel.laptop.settings import Settings
from easel.laptop.storage.data_folder import Home
from easel.laptop.worker_pool import Pool, Worker, WorkerDiedError, start_worker

GIVE_UP_AFTER = 3
"""Starts of the model in a row that failed."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
VARIABLES = {
    "EASEL_WAIT_SECONDS": "25",
    "EASEL_DEADLINE_SECONDS": "600",
    "EASEL_JOB_TTL_SECONDS": str(7 * 24 * 3600),
}
"""What the stacks set for the functions. A laptop may be closed for a week with jobs in its queue."""
WELCOME = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Easel</title>
<h1>Easel is running</h1>
<pre>{curl}</pre>
<p><a href="openapi.json">The API</a></p>
</html>
"""


class _Server(uvicorn.Server):
    """The service listens to signals: it has more to stop than the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Service:
    """`run` returns when a signal says so; nothing that it started is left then."""

    def __init__(self, settings: Settings, entry: Entry, home: Home, terminal: Terminal) -> None:
        self._settings, self._entry, self._home, self._terminal = settings, entry, home, terminal
        self._model = ModelProcess(settings.container, entry, home.model_log)
        self._pool = Pool(self._start_worker)
        self._dispatcher = self._make_dispatcher()
        self._server = self._make_server()
        self._failure: BaseException | None = None

    async def run(self, door: socket.socket) -> None:
        """Raises CommandError where it does not get ready."""
        self._home.clear_logs()
        logging.basicConfig(filename=self._home.api_log, level=logging.WARNING)
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        others = [self._start(self._dispatcher.run()), self._start(self._tell_when_ready())]
        try:
            await self._server.serve(sockets=[door])
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.gather(self._model.stop(), self._pool.stop())
        if self._failure:
            raise self._failure

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note)
        return task

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            self._failure = failure
            self._stop()

    def _stop(self) -> None:
        self._server.should_exit = True

    async def _tell_when_ready(self) -> None:
        began = time.monotonic()
        with self._terminal.waiting(f"Loading {self._entry.profile.name}") as tick:
            await self._start_api()
            while not self._model.loaded:
                if self._model.failures >= GIVE_UP_AFTER:
                    raise _does_not_start("model", self._home.model_log)
                tick()
                await asyncio.sleep(PING_SECONDS)
        self._terminal.say(f"Ready in {time.monotonic() - began:.1f} s: {self._settings.url}")
        self._terminal.say(f"\n{self._settings.curl}\n\nCtrl-C stops it; pictures stay in {self._home.root}.")

    async def _start_api(self) -> None:
        try:
            await self._pool.add()
        except (OSError, WorkerDiedError):
            raise _does_not_start("API", self._home.api_log) from None

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            queue=self._home.queue(),
            store=self._home.store(),
            model=self._model,
            predictor=ContainerClient(self._model.port),
            clock=WakefulClock(),
            on_end=self._pool.wake,
        )

    def _make_server(self) -> _Server:
        gateway = Gateway(
            pool=self._pool,
            signer=self._home.signer(),
            files=self._home.files,
            page=ROOT / "web" / "dist",
            policy="; ".join((ROOT / "web" / "content-security-policy.txt").read_text().splitlines()),
            welcome=WELCOME.format(curl=escape(self._settings.curl)),
            key=self._settings.key,
            loopback=self._settings.loopback,
        )
        config = uvicorn.Config(
            gateway.app(),
            http=PatientProtocol,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        return _Server(config)

    async def _start_worker(self) -> Worker:
        command = [sys.executable, "-m", "easel.laptop.worker", str(self._home.root), str(self._model.port)]
        variables = {**os.environ, **VARIABLES, "EASEL_MODEL_PROFILE": render_profile(self._entry.profile)}
        with self._home.api_log.open("ab") as log:
            return await start_worker(command, variables, log, self._dispatcher.notice)


def _does_not_start(what: str, log: Path) -> CommandError:
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    why = said[-1] if said else "it ended without a word"
    return CommandError(f"The {what} does not start", where=str(log), why=why, fix="Read that file from its start.")
