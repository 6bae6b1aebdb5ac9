"""The queue of jobs that wait for their model: one file each, named by a number, the inference id and the model."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from contract import EaselError
from easel.laptop.storage.durable import make_folder, store_errors, sync_folder
from jobs.ports import Ticket

MAX_QUEUED = 100
"""Jobs that may wait for one model. Each can hold 8 MB on the disk."""


_NAME = re.compile(r"(\d{12})-([0-9a-f]{16}-[0-9a-f]{44})(?:-([a-z0-9][a-z0-9._-]{0,39}))?", re.ASCII)


class Queue:
    """A folder, in the order in which the jobs arrived. Use one object for a folder.

    The API's handlers add jobs; the dispatcher removes a job when it has an outcome.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder, self._lock = folder, threading.Lock()
        numbered = sorted(filter(None, map(_parse, folder.iterdir())), key=lambda entry: entry[0])
        self._files = {ticket: (model, file) for _, ticket, model, file in numbered}
        self._last = numbered[-1][0] if numbered else 0

    def adopt(self, model: str) -> None:
        """Let the model run the jobs that an older version queued, which named none."""
        with self._lock:
            self._files = {ticket: (named or model, file) for ticket, (named, file) in self._files.items()}

    def check_room(self, model: str) -> None:
        """Raise `too_busy` if no further job may wait for the model."""
        if sum(waits_for == model for _, waits_for in self.waiting()) >= MAX_QUEUED:
            hint = "Send the request again when some have ended."
            raise EaselError("too_busy", f"{MAX_QUEUED} jobs are waiting for the model", hint=hint)

    def put(self, ticket: Ticket, model: str) -> None:
        """Add the job, unless it is queued already. `model`: the id of the model. Raises EaselError."""
        with self._lock, store_errors():
            if ticket in self._files:
                return
            self._last += 1
            file = self._folder / f"{self._last:012d}-{ticket.inference_id}-{model}"
            file.touch(exist_ok=False)
            self._files[ticket] = model, file
            sync_folder(self._folder)

    def waiting(self) -> list[tuple[Ticket, str]]:
        """Return the jobs and the ids of their models, the job that waits longest first."""
        with self._lock:
            return [(ticket, model) for ticket, (model, _) in self._files.items()]

    def record_crash(self, ticket: Ticket) -> int:
        """Record that the container died on this job, and return how often it has. Raises EaselError."""
        with store_errors(), self._files[ticket][1].open("ab") as file:
            file.write(b"x")
            return file.tell()

    def remove(self, ticket: Ticket) -> None:
        """Remove the job. Raises EaselError."""
        with self._lock, store_errors():
            self._files[ticket][1].unlink(missing_ok=True)
            del self._files[ticket]


def _parse(file: Path) -> tuple[int, Ticket, str, Path] | None:
    """Return number, job, model and path of a file of the queue, or None for others: a folder could not be removed.

    The model is empty in a name that an older version gave.
    """
    match = _NAME.fullmatch(file.name) if file.is_symlink() or not file.is_dir() else None
    ticket = Ticket.parse(match[2]) if match else None
    return (int(match[1]), ticket, match[3] or "", file) if match and ticket else None
