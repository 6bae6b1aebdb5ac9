"""The queue of webhooks: one empty file for each event that waits, named by the inference id and the event."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from contract import WEBHOOK_EVENTS
from easel.laptop.storage.durable import make_folder, store_errors, sync_folder
from jobs.ports import Ticket

Event = tuple[Ticket, str]

_NAME = re.compile(rf"([0-9a-f]{{16}}-[0-9a-f]{{44}})-({'|'.join(WEBHOOK_EVENTS)})", re.ASCII)


class FolderWebhookQueue:
    """Implements `jobs.ports.WebhookQueue`. Use one object for a folder; its methods are for all threads.

    When an event is due is kept in memory: after a restart, each event that waits is attempted at once.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder, self._changed = folder, threading.Condition()
        self._due: dict[Event, float] = {event: 0.0 for event in map(_parse, folder.iterdir()) if event}
        self._taken: set[Event] = set()

    def put(self, ticket: Ticket, event: str) -> None:
        with self._changed, store_errors():
            if (ticket, event) not in self._due:
                self._file((ticket, event)).touch()
                sync_folder(self._folder)
                self._due[ticket, event] = 0.0
                self._changed.notify()

    def take(self) -> Event:
        """Return an event as soon as one is due. Call `keep` or `remove` for it afterwards."""
        with self._changed:
            while True:
                waiting = {event: due for event, due in self._due.items() if event not in self._taken}
                first = min(waiting, key=lambda event: waiting[event], default=None)
                if first and waiting[first] <= time.monotonic():
                    self._taken.add(first)
                    return first
                self._changed.wait(waiting[first] - time.monotonic() if first else None)

    def keep(self, event: Event, seconds: float) -> None:
        """Let an event that was taken wait for `seconds` more."""
        with self._changed:
            self._due[event] = time.monotonic() + seconds
            self._taken.discard(event)
            self._changed.notify()

    def remove(self, event: Event) -> None:
        """Delete an event that was taken. Raises EaselError."""
        with self._changed, store_errors():
            self._file(event).unlink(missing_ok=True)
            self._due.pop(event, None)
            self._taken.discard(event)

    def _file(self, event: Event) -> Path:
        ticket, name = event
        return self._folder / f"{ticket.inference_id}-{name}"


def _parse(file: Path) -> Event | None:
    match = _NAME.fullmatch(file.name)
    ticket = Ticket.parse(match[1]) if match else None
    return (ticket, match[2]) if match and ticket else None
