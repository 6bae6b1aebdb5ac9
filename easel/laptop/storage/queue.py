"""The queue of jobs that wait for the model: one file each, named by the inference id."""

from __future__ import annotations

from pathlib import Path

from easel.laptop.storage.store import store_errors
from jobs.ports import Ticket


class Queue:
    """A folder. The API's handlers add jobs; the dispatcher removes a job when it has an outcome."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, ticket: Ticket) -> None:
        """Add the job, unless it is queued already. Raises EaselError."""
        with store_errors():
            self._file(ticket).touch()

    def oldest(self) -> Ticket | None:
        """Return the job that waits longest. Job ids sort newest first."""
        tickets = [ticket for file in self._folder.iterdir() if (ticket := Ticket.parse(file.name))]
        return max(tickets, key=lambda ticket: ticket.id, default=None)

    def record_crash(self, ticket: Ticket) -> int:
        """Record that the container died on this job, and return how often it has. Raises EaselError."""
        with store_errors(), self._file(ticket).open("ab") as file:
            file.write(b"x")
            return file.tell()

    def remove(self, ticket: Ticket) -> None:
        self._file(ticket).unlink(missing_ok=True)

    def _file(self, ticket: Ticket) -> Path:
        return self._folder / ticket.inference_id
