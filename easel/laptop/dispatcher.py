"""Run queued jobs, oldest first and one at a time, until each has an outcome.

While the model of the oldest job is being loaded, younger jobs run on the models that are in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from contract import EaselError
from easel.laptop.container.client import ContainerDiedError
from easel.laptop.container.models import Models
from easel.laptop.container.served_model import ServedModel
from easel.laptop.storage.queue import Queue
from jobs.accounting import Accounting
from jobs.accounts import Ledger
from jobs.outcomes import JobReporter, announce_nothing
from jobs.ports import Clock, Store, Ticket
from jobs.run import MAX_CONTAINER_DEATHS, run_job
from jobs.webhook import Announce

IDLE_SECONDS = 0.5
"""Time between two looks at the queue and at the processes while no job runs."""
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0
"""First and longest pause after the system or the store refused something."""

_log = logging.getLogger(__name__)


class Dispatcher:
    """Runs the jobs of the queue. A job leaves the queue after it has an outcome, so a dying process loses no job."""

    def __init__(
        self, *, queue: Queue, store: Store, models: Models, clock: Clock,
        ledger: Ledger, on_end: Callable[[], None], announce: Announce = announce_nothing,
    ) -> None:  # fmt: skip
        self._queue, self._store, self._models, self._on_end, self._clock = queue, store, models, on_end, clock
        accounting = Accounting(ledger, clock)
        self._reporter = JobReporter(store=store, clock=clock, on_end=accounting.on_end, announce=announce)
        self._changed = asyncio.Event()
        models.on_change = self.notify
        queue.adopt(models.all[0].id)

    def notify(self) -> None:
        """Look at the queue now."""
        self._changed.set()

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
        self._changed.clear()
        await self._refuse()
        waiting = self._queue.waiting()
        if waiting and not self._models.is_loaded(waiting[0][1]) and not self._is_open(waiting[0][0]):
            self._remove(waiting[0][0])  # cancelled: it needs no model
            return
        await self._models.bring([id for _, id in waiting])
        for ticket, id in waiting:
            if self._models.is_loaded(id):
                model = self._models[id]
                with self._models.running(model):
                    await self._process(ticket, partial(self._generate, model=model))
                return
        await self._idle()

    async def _refuse(self) -> None:
        """End the jobs whose models cannot run."""
        for ticket, id in self._queue.waiting():
            if error := self._models.refusal(id):
                await self._process(ticket, partial(self._fail, error=error))
        self._models.note_failed_jobs()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                await self._changed.wait()
        except TimeoutError:
            await self._models.check()

    async def _process(self, ticket: Ticket, work: Callable[[Ticket], Awaitable[None]]) -> None:
        """Do the work if the job is open, and remove it from the queue if it then has an outcome."""
        try:
            if self._is_open(ticket):
                await work(ticket)
            ended = not self._is_open(ticket)
        except EaselError as error:
            if error.code != "record_damaged":
                raise
            _log.error("%s leaves the queue: %s", ticket.inference_id, error)
            ended = True
        if ended:
            self._remove(ticket)

    def _remove(self, ticket: Ticket) -> None:
        self._queue.remove(ticket)
        self._on_end()

    def _is_open(self, ticket: Ticket) -> bool:
        return self._reporter.is_open(ticket)

    async def _fail(self, ticket: Ticket, error: EaselError) -> None:
        self._reporter.fail(ticket, error)

    async def _generate(self, ticket: Ticket, model: ServedModel) -> None:
        self._store.delete(ticket.key("started.json"))  # left by a process that died: nothing else runs jobs
        container = model.container
        try:
            await asyncio.to_thread(run_job, ticket, self._reporter, container.client, self._clock)
        except TimeoutError:
            await container.kill()
            self._reporter.fail(ticket, EaselError("model_timeout", "the model did not respond in time"))
        except ContainerDiedError:
            await self._models.note_death(model)
            if self._queue.record_crash(ticket) >= MAX_CONTAINER_DEATHS:
                message = f"the model stopped {MAX_CONTAINER_DEATHS} times while it generated this"
                hint = f"Read {container.log}."
                self._reporter.fail(ticket, EaselError("container_died", message, hint=hint))
