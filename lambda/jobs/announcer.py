"""Queueing the events of jobs that have a webhook."""

from __future__ import annotations

from collections.abc import Callable

from contract import EaselError
from jobs.ports import Store, Ticket, WebhookQueue
from jobs.records import DamagedRecordError, Record, read_record
from jobs.webhook import Delivery, delivery_key


class Announcer:
    """Queues each event once. If the process dies before, the next call for the event queues it.

    `on_error` is called when an event cannot be queued. It may raise the error.
    """

    def __init__(self, store: Store, queue: WebhookQueue, on_error: Callable[[Ticket, EaselError], None]) -> None:
        self._store, self._queue, self._on_error = store, queue, on_error

    def announce(self, ticket: Ticket, event: str) -> None:
        """Queue the event if the job has a webhook for it."""
        try:
            self._announce(ticket, event)
        except EaselError as error:
            self._on_error(ticket, error)

    def _announce(self, ticket: Ticket, event: str) -> None:
        record = self._record(ticket)
        if record is None or record.webhook is None or event not in record.webhook.events:
            return
        if self._store.read(delivery_key(ticket, event)) is None:
            self._queue.put(ticket, event)
            self._store.create(delivery_key(ticket, event), Delivery().to_json())

    def _record(self, ticket: Ticket) -> Record | None:
        try:
            return read_record(self._store, ticket)
        except DamagedRecordError:
            return None
