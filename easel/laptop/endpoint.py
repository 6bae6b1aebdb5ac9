"""The endpoint of lambda/jobs/ports.py for a model on this machine: the queue folder, and the model's process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from easel.laptop.container.served_model import ServedModel
from easel.laptop.storage.queue import Queue
from jobs.ports import EndpointState, Progress, Submission, Ticket


class LaptopEndpoint:
    """Queues jobs, calls `on_submit` for each, asks the process for progress, and stops it."""

    reports_start = True
    has_previews = True
    stops_jobs = True

    def __init__(self, queue: Queue, model: ServedModel, on_submit: Callable[[], None]) -> None:
        self._queue, self._model, self._on_submit = queue, model, on_submit

    def submit(self, ticket: Ticket) -> Submission:
        self._queue.put(ticket, self._model.id)
        self._on_submit()
        return Submission()

    def progress(self, ticket: Ticket) -> Progress | None:
        progress = self._model.container.client.progress() if self._model.loaded else {}
        if progress.get("inference_id") != ticket.inference_id:
            return None
        return Progress(step=progress["step"], steps=progress["steps"], preview=progress.get("preview"))

    def stop(self, ticket: Ticket) -> None:
        if self._model.loaded:
            self._model.container.client.cancel(ticket)

    def state(self) -> EndpointState:
        state, seconds = self._model.state(), len(self._queue.waiting()) * self._model.job_seconds
        return replace(state, busy_seconds=math.ceil(seconds)) if state.status == "ready" and seconds else state
