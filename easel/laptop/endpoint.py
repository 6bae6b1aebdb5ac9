"""The endpoint of lambda/jobs/ports.py for a model on this machine: the queue folder, and the model's processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from easel.laptop.container.served_model import ServedModel
from easel.laptop.storage.queue import Queue
from jobs.ports import EndpointState, Progress, Submission, Ticket


class LaptopEndpoint:
    """Queues jobs, calls `on_submit` for each, asks the job's process for progress, and stops the job.

    `models`: all that take jobs from the queue.
    """

    reports_start = True
    has_previews = True
    stops_jobs = True

    def __init__(
        self, queue: Queue, model: ServedModel, models: Sequence[ServedModel], on_submit: Callable[[], None]
    ) -> None:
        self._queue, self._model, self._models, self._on_submit = queue, model, models, on_submit

    def submit(self, ticket: Ticket) -> Submission:
        self._queue.put(ticket, self._model.id)
        self._on_submit()
        return Submission()

    def progress(self, ticket: Ticket) -> Progress | None:
        process = self._model.process_of(ticket)
        progress = process.client.progress() if process else {}
        if progress.get("inference_id") != ticket.inference_id:
            return None
        return Progress(step=progress["step"], steps=progress["steps"], preview=progress.get("preview"))

    def stop(self, ticket: Ticket) -> None:
        if process := self._model.process_of(ticket):
            process.client.cancel(ticket)

    def state(self) -> EndpointState:
        state = self._model.state()
        return replace(state, busy_seconds=self._busy_seconds()) if state.status == "ready" else state

    def _busy_seconds(self) -> int | None:
        """Return about how long the jobs of all models take, one model after another; None: unknown."""
        means = {model.id: model.job_seconds / max(1, model.loaded_processes) for model in self._models}
        seconds = [means.get(id, 0) for _, id in self._queue.waiting()]
        return math.ceil(sum(seconds)) if seconds and all(seconds) else None
