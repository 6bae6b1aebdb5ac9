"""The endpoint of lambda/jobs/ports.py on one machine: a queue folder before one container."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from easel.laptop.container.client import ContainerClient
from easel.laptop.storage.queue import Queue
from jobs.ports import EndpointState, Progress, Submission, Ticket

STATE_SECONDS = 1.0
"""How long one look at the container's state is good for."""


class LaptopEndpoint:
    """Puts jobs into the queue, says so, and asks the container how far it is."""

    tells_start = True
    shows_preview = True

    def __init__(self, queue: Queue, container: ContainerClient, on_submit: Callable[[], None]) -> None:
        self._queue, self._container, self._on_submit = queue, container, on_submit
        self._looked, self._ready = -STATE_SECONDS, False

    def submit(self, ticket: Ticket) -> Submission:
        self._queue.put(ticket)
        self._on_submit()
        return Submission()

    def progress(self, ticket: Ticket) -> Progress | None:
        told = self._container.progress()
        if told.get("inference_id") != ticket.inference_id:
            return None
        return Progress(step=told["step"], steps=told["steps"], preview=told.get("preview"))

    def state(self) -> EndpointState:
        if time.monotonic() - self._looked > STATE_SECONDS:
            self._looked, self._ready = time.monotonic(), self._container.ping() == HTTPStatus.OK
        return EndpointState("ready") if self._ready else EndpointState("starting", "The model is loading.")
