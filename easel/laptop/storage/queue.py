"""The queue of jobs that wait for the model: one file each, named by a number and the inference id."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from contract import EaselError
from easel.laptop.storage.durable import make_folder, store_errors, sync_folder
from jobs.ports import Ticket

MAX_QUEUED = 100
"""Jobs that may wait. Each can hold 8 MB on the disk."""


_NAME = re.compile(r"(\d{12})-([0-9a-f]{16}-[0-9a-f]{44})", re.ASCII)


class Queue:
    """A folder, in the order in which the jobs arrived. Use one object for a folder.

    The API's handlers add jobs; the dispatcher removes a job when it has an outcome.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder, self._lock = folder, threading.Lock()
        numbered = sorted(filter(None, map(_parse, folder.iterdir())), key=lambda entry: entry[0])
        self._files = {ticket: file for _, ticket, file in numbered}
        self._last = numbered[-1][0] if numbered else 0

    def check_room(self) -> None:
        """Raise `too_busy` if no further job may wait."""
        if len(self._files) >= MAX_QUEUED:
            hint = "Send the request again when some have ended."
            raise EaselError("too_busy", f"{MAX_QUEUED} jobs are waiting for the model", hint=hint)

    def put(self, ticket: Ticket) -> None:
        """Add the job, unless it is queued already. Raises EaselError."""
        with self._lock, store_errors():
            if ticket in self._files:
                return
            self._last += 1
            file = self._folder / f"{self._last:012d}-{ticket.inference_id}"
            file.touch(exist_ok=False)
            self._files[ticket] = file
            sync_folder(self._folder)

    def oldest(self) -> Ticket | None:
        """Return the job that waits longest."""
        with self._lock:
            return next(iter(self._files), None)

    def record_crash(self, ticket: Ticket) -> int:
        """Record that the container died on this job, and return how often it has. Raises EaselError."""
        with store_errors(), self._files[ticket].open("ab") as file:
            file.write(b"x")
            return file.tell()

    def remove(self, ticket: Ticket) -> None:
        """Remove the job. Raises EaselError."""
        with self._lock, store_errors():
            self._files[ticket].unlink(missing_ok=True)
            del self._files[ticket]


def _parse(file: Path) -> tuple[int, Ticket, Path] | None:
    """Return the number, job and path of a file of the queue, or None for others: a folder could not be removed."""
    match = _NAME.fullmatch(file.name) if file.is_symlink() or not file.is_dir() else None
    ticket = Ticket.parse(match[2]) if match else None
    return (int(match[1]), ticket, file) if match and ticket else None
