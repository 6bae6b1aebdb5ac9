"""Takes the queued jobs to the container, oldest first, one at a time, and brings every answer home."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import NoReturn

import httpx

from contract import EaselError
from easel.model_process import ModelProcess
from easel.queue import Queue
from jobs import Jobs
from ports import Store, Ticket

LOOK_SECONDS = 0.5
"""How often it looks whether the container still lives while nothing is to be done."""
GRACE_SECONDS = 30.0
"""The container keeps the deadline by itself; after so much more it is taken for stuck."""
STRIKES = 2
"""A job on which the container died so often is given up."""

_log = logging.getLogger(__name__)


class _AgainError(Exception):
    """The job stays in the queue."""


class Dispatcher:
    """A job leaves the queue when it has an outcome and not before, so that whatever dies, no accepted job is lost."""

    def __init__(self, queue: Queue, store: Store, jobs: Jobs, model: ModelProcess, on_end: Callable[[], None]) -> None:
        self._queue, self._store, self._jobs, self._model, self._on_end = queue, store, jobs, model, on_end
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
            return

    async def _settle(self, ticket: Ticket) -> None:
        try:
            if self._store.read(ticket.key("outcome.json")) is None:
                await self._draw(ticket)
        except _AgainError:
            return
        except EaselError as error:
            _log.error("%s cannot be stored: %s", ticket.inference_id, error)
            await asyncio.sleep(GRACE_SECONDS)
            return
        self._queue.remove(ticket)
        self._on_end()

    async def _draw(self, ticket: Ticket) -> None:
        try:
            answer = await self._ask(ticket)
            await asyncio.to_thread(self._jobs.finish, ticket, answer)
        except EaselError as error:
            self._jobs.fail(ticket, error)

    async def _ask(self, ticket: Ticket) -> bytes:
        self._store.delete(ticket.key("started.json"))
        body = self._jobs.start(ticket)
        if body is None:
            raise EaselError("input_missing", "the job's request is not in the store")
        try:
            response = await self._model.invoke(ticket.inference_id, body, _deadline(body) + GRACE_SECONDS)
        except httpx.TimeoutException:
            await self._model.kill()
            raise EaselError("model_timeout", "the model did not answer in time", hint="Ask for less.") from None
        except httpx.TransportError:
            await self._mourn(ticket)
        return _answer(response)

    async def _mourn(self, ticket: Ticket) -> NoReturn:
        await self._model.kill()
        if self._queue.strike(ticket) < STRIKES:
            raise _AgainError
        hint = f"Ask for less, or look into {self._model.log}."
        raise EaselError("container_died", f"the model stopped {STRIKES} times while drawing this", hint=hint)


def _deadline(body: bytes) -> float:
    return float(json.loads(body)["deadline_ms"]) / 1000


def _answer(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise EaselError("model_error", f"the model answered {response.status_code}", hint="Look into its log.")
    return response.content
