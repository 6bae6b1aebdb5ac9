"""Run queued jobs, oldest first, until each has an outcome.

Jobs run one at a time, or as many of the same model as it has processes. While the model of the oldest job is being
loaded, younger jobs run on the models that are in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from contract import EaselError
from easel.laptop.container.client import ContainerDiedError
from easel.laptop.container.models import Models
from easel.laptop.container.process import ContainerProcess
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
        self._running: dict[Ticket, asyncio.Task[None]] = {}
        self._running_model = ""
        self._pause = RETRY_SECONDS
        models.on_change = self.notify
        queue.adopt(models.all[0].id)

    def notify(self) -> None:
        """Look at the queue now."""
        self._changed.set()

    async def run(self) -> None:
        """Run jobs until cancelled. After an error of the file system it logs once and tries again."""
        try:
            while True:
                await self._try_step()
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _try_step(self) -> None:
        try:
            await self._step()
            if not self._running:
                self._pause = RETRY_SECONDS
        except (EaselError, OSError) as error:
            if self._pause == RETRY_SECONDS:
                _log.error("jobs cannot run at the moment: %s (%s)", error, error.__cause__)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, MAX_RETRY_SECONDS)

    async def _step(self) -> None:
        self._changed.clear()
        self._note_ended()
        await self._refuse()
        waiting = self._waiting()
        if not self._running:
            if waiting and not self._models.is_loaded(waiting[0][1]) and not self._is_open(waiting[0][0]):
                self._remove(waiting[0][0])  # cancelled: it needs no model
                return
            await self._models.bring([id for _, id in waiting])
        if not self._start_next(waiting):
            await self._idle()

    def _note_ended(self) -> None:
        """Forget the jobs that do not run any more. Raises what one of them raised."""
        for ticket, task in list(self._running.items()):
            if task.done():
                del self._running[ticket]
                task.result()
                self._pause = RETRY_SECONDS

    def _waiting(self) -> list[tuple[Ticket, str]]:
        return [(ticket, id) for ticket, id in self._queue.waiting() if ticket not in self._running]

    def _start_next(self, waiting: Sequence[tuple[Ticket, str]]) -> bool:
        """Start a job if one can run now, and return whether it was started.

        Beside others, only the oldest can run, so that each model has its turn.
        """
        if self._running and waiting and waiting[0][1] != self._running_model:
            return False
        for ticket, id in waiting:
            if not self._models.is_loaded(id):
                continue
            model = self._models[id]
            if process := model.free_process:
                process.ticket, self._running_model = ticket, id
                self._running[ticket] = asyncio.create_task(self._run(ticket, model, process))
            else:
                self._models.grow(model)
            return process is not None
        return False

    async def _run(self, ticket: Ticket, model: ServedModel, process: ContainerProcess) -> None:
        try:
            with self._models.running(model, process):
                await self._process(ticket, partial(self._generate, model=model, process=process))
        finally:
            self.notify()

    async def _refuse(self) -> None:
        """End the jobs whose models cannot run."""
        for ticket, id in self._waiting():
            if error := self._models.refusal(id):
                await self._process(ticket, partial(self._fail, error=error))
        self._models.note_failed_jobs()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                await self._changed.wait()
        except TimeoutError:
            if not self._running:
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

    async def _generate(self, ticket: Ticket, model: ServedModel, process: ContainerProcess) -> None:
        self._store.delete(ticket.key("started.json"))  # left by a process that died: nothing else runs jobs
        try:
            await asyncio.to_thread(run_job, ticket, self._reporter, process.client, self._clock)
        except TimeoutError:
            await process.kill()
            self._reporter.fail(ticket, EaselError("model_timeout", "the model did not respond in time"))
        except ContainerDiedError:
            await self._models.note_death(model, process)
            if self._queue.record_crash(ticket) >= MAX_CONTAINER_DEATHS:
                message = f"the model stopped {MAX_CONTAINER_DEATHS} times while it generated this"
                hint = f"Read {model.log}."
                self._reporter.fail(ticket, EaselError("container_died", message, hint=hint))
