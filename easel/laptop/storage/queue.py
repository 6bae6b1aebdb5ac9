"""The jobs that wait for the model: one file each, named by the inference id, so that a job stands here once."""

from __future__ import annotations

from pathlib import Path

from easel.laptop.storage.store import storing
from jobs.ports import Ticket


class Queue:
    """A folder. Whoever accepts a job puts it in; the dispatcher takes it out when the job has an outcome."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, ticket: Ticket) -> None:
        """Queues the job, or leaves it where it stands."""
        with storing():
            self._file(ticket).touch()

    def oldest(self) -> Ticket | None:
        """The job that waits longest: job ids sort newest first."""
        tickets = [ticket for file in self._folder.iterdir() if (ticket := Ticket.parse(file.name))]
        return max(tickets, key=lambda ticket: ticket.id, default=None)

    def strike(self, ticket: Ticket) -> int:
        """Notes that the container died on this job; returns how often it has by now."""
        with storing(), self._file(ticket).open("ab") as file:
            file.write(b"x")
            return file.tell()

    def remove(self, ticket: Ticket) -> None:
        self._file(ticket).unlink(missing_ok=True)

    def _file(self, ticket: Ticket) -> Path:
        return self._folder / ticket.inference_id
