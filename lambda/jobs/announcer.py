"""Queueing the events of jobs that have a webhook."""

from __future__ import annotations

from contextlib import suppress

from contract import EaselError
from jobs.ports import Store, Ticket, WebhookQueue
from jobs.records import DamagedRecordError, Record, read_record
from jobs.webhook import Delivery, delivery_key


class Announcer:
    """Queues each event once. If the process dies before, the next call for the event queues it."""

    def __init__(self, store: Store, queue: WebhookQueue) -> None:
        self._store, self._queue = store, queue

    def announce(self, ticket: Ticket, event: str) -> None:
        """Queue the event if the job has a webhook for it. Raises EaselError."""
        record = self._record(ticket)
        if record is None or record.webhook is None or event not in record.webhook.events:
            return
        if self._store.read(delivery_key(ticket, event)) is None:
            self._queue.put(ticket, event)
            self._store.create(delivery_key(ticket, event), Delivery().to_json())

    def try_to_announce(self, ticket: Ticket, event: str) -> None:
        """Do as `announce` for a caller who waits for a response, which an error of the queue must not replace."""
        with suppress(EaselError):
            self.announce(ticket, event)

    def _record(self, ticket: Ticket) -> Record | None:
        try:
            return read_record(self._store, ticket)
        except DamagedRecordError:
            return None
