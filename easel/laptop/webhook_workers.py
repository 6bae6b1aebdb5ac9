"""The threads that deliver the webhooks of a laptop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from contract import ModelProfile
from easel.laptop.clock import InterruptibleClock
from easel.laptop.storage.webhook_queue import Event, FolderWebhookQueue
from gateway.telemetry import Telemetry
from jobs.lifecycle import link
from jobs.ports import Store
from routes.job_views import JobViews, webhook_bodies
from webhooks.delivery import Deliverer
from webhooks.sender import Sender
from webhooks.url import UrlRules

WORKERS = 4
"""Deliveries at the same time."""
RETRY_SECONDS = 30
"""Pause after a delivery that could not be recorded."""

_log = logging.getLogger(__name__)


class WebhookWorkers:
    """Threads that deliver the events of the queue, for as long as the process lives.

    `url`: of the service, for links to images. An attempt that the end of the process cuts off is repeated.
    """

    def __init__(
        self, queue: FolderWebhookQueue, rules: UrlRules, store: Store, url: str, profiles: Sequence[ModelProfile]
    ) -> None:
        self._profiles = profiles
        self._queue, self._rules, self._store, self._url = queue, rules, store, url.rstrip("/")

    def start(self) -> None:
        for i in range(WORKERS):
            threading.Thread(target=self._run, name=f"webhook-{i}", daemon=True).start()

    def _run(self) -> None:
        deliver = self._make_deliver()
        while True:
            event = self._queue.take()
            try:
                self._finish(event, deliver(event))
            except Exception as error:  # the disk is full, for example
                _log.error("a webhook of %s waits: %s", event[0].inference_id, type(error).__name__)
                self._queue.keep(event, RETRY_SECONDS)

    def _finish(self, event: Event, pause: float | None) -> None:
        if pause is None:
            self._queue.remove(event)
        else:
            self._queue.keep(event, pause)

    def _make_deliver(self) -> Callable[[Event], float | None]:
        views = JobViews(lambda ticket, name: self._url + link(self._store, ticket, name), reports_start=True)
        deliverer = Deliverer(
            store=self._store,
            sender=Sender(),
            rules=self._rules,
            bodies=webhook_bodies(views, self._profiles, self._url),
            clock=InterruptibleClock(),
            telemetry=Telemetry(namespace=""),
        )
        return lambda event: deliverer.deliver(*event)
