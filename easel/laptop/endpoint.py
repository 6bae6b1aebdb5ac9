"""The endpoint of lambda/jobs/ports.py on one machine: a queue folder and one container."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from easel.laptop.container.client import ContainerClient
from easel.laptop.storage.queue import Queue
from jobs.ports import EndpointState, Progress, Submission, Ticket

STATE_SECONDS = 1.0
"""Time for which the container's state is cached."""


class LaptopEndpoint:
    """Queues jobs, calls `on_submit` for each, asks the container for progress, and stops it."""

    reports_start = True
    has_previews = True
    stops_jobs = True

    def __init__(self, queue: Queue, container: ContainerClient, on_submit: Callable[[], None]) -> None:
        self._queue, self._container, self._on_submit = queue, container, on_submit
        self._checked_at, self._ready = -STATE_SECONDS, False

    def submit(self, ticket: Ticket) -> Submission:
        self._queue.put(ticket)
        self._on_submit()
        return Submission()

    def progress(self, ticket: Ticket) -> Progress | None:
        progress = self._container.progress()
        if progress.get("inference_id") != ticket.inference_id:
            return None
        return Progress(step=progress["step"], steps=progress["steps"], preview=progress.get("preview"))

    def stop(self, ticket: Ticket) -> None:
        self._container.cancel(ticket)

    def state(self) -> EndpointState:
        if time.monotonic() - self._checked_at > STATE_SECONDS:
            self._checked_at, self._ready = time.monotonic(), self._container.ping() == HTTPStatus.OK
        return EndpointState("ready") if self._ready else EndpointState("starting", "The model is loading.")
