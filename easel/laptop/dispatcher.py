"""Run queued jobs on the container, oldest first and one at a time, until each has an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from contract import EaselError
from easel.laptop.container.client import ContainerDiedError
from easel.laptop.container.process import ContainerProcess
from easel.laptop.storage.queue import Queue
from jobs.accounting import Accounting
from jobs.accounts import Ledger
from jobs.outcomes import JobReporter, announce_nothing
from jobs.ports import Clock, Predictor, Store, Ticket
from jobs.run import MAX_CONTAINER_DEATHS, run_job
from jobs.webhook import Announce

IDLE_SECONDS = 0.5
"""Time between two health checks of an idle container."""
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0
"""First and longest pause after the system or the store refused something."""

_log = logging.getLogger(__name__)


class Dispatcher:
    """Runs the jobs of the queue. A job leaves the queue after it has an outcome, so a dying process loses no job."""

    def __init__(
        self, *, queue: Queue, store: Store, container: ContainerProcess, predictor: Predictor, clock: Clock,
        ledger: Ledger, on_end: Callable[[], None], announce: Announce = announce_nothing,
    ) -> None:  # fmt: skip
        self._queue, self._store, self._container, self._on_end = queue, store, container, on_end
        self._predictor, self._clock = predictor, clock
        accounting = Accounting(ledger, clock)
        self._reporter = JobReporter(store=store, clock=clock, on_end=accounting.on_end, announce=announce)
        self._submitted = asyncio.Event()

    def notify(self) -> None:
        """Look at the queue now."""
        self._submitted.set()

    async def run(self) -> None:
        """Run jobs until cancelled. After an error of the file system it logs once and tries again."""
        pause = RETRY_SECONDS
        while True:
            try:
                await self._step()
                pause = RETRY_SECONDS
            except (EaselError, OSError) as error:
                if pause == RETRY_SECONDS:
                    _log.error("jobs cannot run at the moment: %s (%s)", error, error.__cause__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_SECONDS)

    async def _step(self) -> None:
        await self._container.ready()
        self._submitted.clear()
        if ticket := self._queue.oldest():
            await self._process(ticket)
        else:
            await self._idle()

    async def _idle(self) -> None:
        try:
            await asyncio.wait_for(self._submitted.wait(), IDLE_SECONDS)
        except TimeoutError:
            await self._container.check()

    async def _process(self, ticket: Ticket) -> None:
        try:
            if self._is_open(ticket):
                await self._generate(ticket)
            ended = not self._is_open(ticket)
        except EaselError as error:
            if error.code != "record_damaged":
                raise
            _log.error("%s leaves the queue: %s", ticket.inference_id, error)
            ended = True
        if ended:
            self._queue.remove(ticket)
            self._on_end()

    def _is_open(self, ticket: Ticket) -> bool:
        return self._reporter.is_open(ticket)

    async def _generate(self, ticket: Ticket) -> None:
        self._store.delete(ticket.key("started.json"))  # left by a process that died: nothing else runs jobs
        try:
            await asyncio.to_thread(run_job, ticket, self._reporter, self._predictor, self._clock)
        except TimeoutError:
            await self._container.kill()
            self._reporter.fail(ticket, EaselError("model_timeout", "the model did not respond in time"))
        except ContainerDiedError:
            await self._container.kill()
            if self._queue.record_crash(ticket) >= MAX_CONTAINER_DEATHS:
                message = f"the model stopped {MAX_CONTAINER_DEATHS} times while it generated this"
                hint = f"Read {self._container.log}."
                self._reporter.fail(ticket, EaselError("container_died", message, hint=hint))
