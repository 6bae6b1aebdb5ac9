"""Takes the queued jobs to the container, oldest first, one at a time, until each has an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from contract import EaselError
from easel.laptop.container.client import ContainerDiedError
from easel.laptop.container.process import ModelProcess
from easel.laptop.storage.queue import Queue
from jobs.outcomes import STRIKES, Finisher, draw
from jobs.ports import Clock, Predictor, Store, Ticket

LOOK_SECONDS = 0.5
"""How often it looks after the container while nothing is to be done."""
REFUSED_SECONDS = 30.0
"""The pause when not even a failure can be stored."""

_log = logging.getLogger(__name__)


class Dispatcher:
    """A job leaves the queue when it has an outcome and not before: whatever dies, no accepted job is lost."""

    def __init__(
        self, *, queue: Queue, store: Store, model: ModelProcess, predictor: Predictor, clock: Clock,
        on_end: Callable[[], None],
    ) -> None:  # fmt: skip
        self._queue, self._store, self._model, self._on_end = queue, store, model, on_end
        self._predictor, self._clock = predictor, clock
        self._finisher = Finisher(store=store, clock=clock)
        self._submitted = asyncio.Event()

    def notice(self) -> None:
        """A job was queued."""
        self._submitted.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._model.ready()
            self._submitted.clear()
            if ticket := self._queue.oldest():
                await self._settle(ticket)
            else:
                await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._submitted.wait(), LOOK_SECONDS)
        except TimeoutError:
            await self._model.check()

    async def _settle(self, ticket: Ticket) -> None:
        try:
            if self._is_open(ticket):
                await self._draw(ticket)
            if not self._is_open(ticket):
                self._queue.remove(ticket)
                self._on_end()
        except EaselError as error:
            _log.error("%s cannot be settled: %s", ticket.inference_id, error)
            await asyncio.sleep(REFUSED_SECONDS)

    def _is_open(self, ticket: Ticket) -> bool:
        made, ended = (self._store.read(ticket.key(name)) for name in ("job.json", "outcome.json"))
        return made is not None and ended is None

    async def _draw(self, ticket: Ticket) -> None:
        self._store.delete(ticket.key("started.json"))  # nobody else draws: who began before is dead
        try:
            await asyncio.to_thread(draw, ticket, self._finisher, self._predictor, self._clock)
        except TimeoutError:
            await self._model.kill()
            self._finisher.fail(ticket, EaselError("model_timeout", "the model did not answer in time"))
        except ContainerDiedError:
            await self._model.kill()
            if self._queue.strike(ticket) >= STRIKES:
                message = f"the model stopped {STRIKES} times while drawing this"
                self._finisher.fail(ticket, EaselError("container_died", message, hint=f"Read {self._model.log}."))
