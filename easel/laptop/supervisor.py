"""Start, watch and stop all parts of a laptop: the models' containers, the API's handlers and the HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import EaselError
from easel.console.errors import CommandError
from easel.console.terminal import Terminal
from easel.laptop.catalogue import Entry
from easel.laptop.clock import InterruptibleClock
from easel.laptop.container.memory import Memory
from easel.laptop.container.models import Models
from easel.laptop.container.process import PING_SECONDS
from easel.laptop.container.served_model import ServedModel
from easel.laptop.dispatcher import Dispatcher
from easel.laptop.handler_pool import Handler, HandlerPool
from easel.laptop.settings import Settings
from easel.laptop.storage.data_folder import DataFolder
from easel.laptop.webhook_rules import parse_rules
from jobs.outcomes import announce_nothing

if TYPE_CHECKING:
    from easel.laptop.gateway.server import Server

MAX_REFUSALS = 20
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One running laptop. `run` returns after a stop signal, when everything that it started has ended."""

    def __init__(self, settings: Settings, entries: Sequence[Entry], data: DataFolder, terminal: Terminal) -> None:
        self._settings, self._data, self._terminal = settings, data, terminal
        served = [ServedModel(settings.container, entry, data.model_log(entry.model.id)) for entry in entries]
        self._models = Models(served, Memory(settings.memory))
        self._handlers = HandlerPool(self._make_handler)
        self._rules = parse_rules(settings.webhooks)
        self._dispatcher = self._make_dispatcher()
        self._server: Server | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._refusals: set[str] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serve on `listener` until a stop signal. Raises CommandError if no model or the API does not start."""
        self._loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._stop)
        tasks = [self._start(self._dispatcher.run()), self._start(self._models.watch())]
        tasks += [self._start(self._report_readiness())]
        try:
            await self._start_handlers()
            self._start_webhooks()
            self._server = await asyncio.to_thread(self._make_server)
            if not self._stopping:
                await self._server.serve(sockets=[listener])
        finally:
            self._handlers.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._models.stop()
        if self._failure:
            raise self._failure

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_failure)
        return task

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            self._failure = failure
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        if self._server:
            self._server.should_exit = True
        self._handlers.stop()

    async def _start_handlers(self) -> None:
        try:
            await self._handlers.start()
        except Exception as error:
            logging.exception("the API does not start")
            raise self._start_error("API", f"{type(error).__name__}: {error}", self._data.api_log) from None

    def _start_webhooks(self) -> None:
        if self._rules:
            from easel.laptop.webhook_workers import WebhookWorkers  # here, so that the model loads meanwhile

            url = str(self._settings.public or self._settings.url)
            queue, store = self._data.webhook_queue, self._data.store()
            WebhookWorkers(queue, self._rules, store, url, self._models.profiles).start()

    async def _report_readiness(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(OSError), self._terminal.spinner(f"Loading {self._models.profiles[0].name}") as tick:
            await self._until_loaded(tick)
        await self._until_loaded(lambda: None)  # the terminal may be gone
        self._report_models()
        public = f", behind {self._settings.public}" if self._settings.public else ""
        self._terminal.print(f"Ready in {time.monotonic() - began:.1f} s: {self._settings.url}{public}")
        self._terminal.print(f"\n{self._settings.curl}\n\nPress Ctrl-C to stop. Images are kept in {self._data.root}.")

    async def _until_loaded(self, tick: Callable[[], None]) -> None:
        while not self._models.serving:
            if self._models.failed:
                first = self._models.all[0]
                raise self._start_error("model", first.failure, first.log)
            tick()
            await asyncio.sleep(PING_SECONDS)

    def _report_models(self) -> None:
        """Print the state of the models, if there are several."""
        for model in self._models.all if len(self._models.all) > 1 else ():
            state = "loaded" if model.loaded else "loaded by its first job"
            why = f"it does not start: {model.failure}. Its log is {model.log}" if model.failures else ""
            self._terminal.print(f"{model.id} ({model.profile.name}): {why or state}")

    def _report_refusal(self, error: EaselError) -> None:
        """Print a line, once for each reason and at most `MAX_REFUSALS` lines in all."""
        if error.message not in self._refusals and len(self._refusals) < MAX_REFUSALS:
            self._refusals.add(error.message)
            self._terminal.print(f"Refused a request: {error.message}. {error.hint}")

    def _start_error(self, part: str, why: str, log: Path) -> CommandError:
        return CommandError(f"The {part} does not start", where=str(log), why=why, fix="Read that log file.")

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            queue=self._data.queue,
            store=self._data.store(),
            models=self._models,
            ledger=self._data.accounts,
            clock=InterruptibleClock(),
            on_end=self._handlers.wake,
            announce=self._data.announce if self._rules else announce_nothing,
        )

    def _make_server(self) -> Server:
        from easel.laptop.gateway.server import make_server  # here, so that the model loads meanwhile

        return make_server(self._settings, self._data, self._handlers, self._report_refusal)

    def _make_handler(self, clock: InterruptibleClock) -> Handler:
        from easel.laptop.api_handler import make_handler  # here, so that the model loads meanwhile

        return make_handler(self._data, self._models.all, clock, self._notify_dispatcher, self._rules)

    def _notify_dispatcher(self) -> None:
        self._loop.call_soon_threadsafe(self._dispatcher.notify)
