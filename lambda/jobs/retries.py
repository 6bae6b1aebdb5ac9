"""The jobs of requests that clients repeat by themselves.

Some clients count their retries in a header, and send no Idempotency-Key. When such a request ends without its images
and is to be sent again, its job is offered to the next attempt with the same content. Each offer is taken once: two
equal requests that run at the same time keep two jobs.

Others count nothing, and repeat whatever API Gateway answers in the place of a function that takes too long. Each of
their attempts leaves a mark until it has its response; the next equal request continues with one that never got any.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from contract import EaselError
from jobs.ports import Clock, Store, Ticket
from jobs.records import new_ticket

OFFER_S = 15 * 60
"""Age up to which a job is given to a retry."""
_OFFERS = 50
"""Offers or marks of one content that are looked at, the newest first."""
LOST_S = 27
"""Age from which an attempt has no response: less than the time after which API Gateway answers itself, and more than a
request takes as a rule."""
LOST_FOR_S = 60
"""Age up to which an attempt without a response is continued."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at a request. `key`: the Idempotency-Key of its job. `mark`: its id says when the gateway got it."""

    key: str
    mark: Ticket
    digest: str


class Retries:
    """Offers in the store: `idempotency/<owner>/<digest>/<attempt>/<job>/`; marks: `…/unanswered/<attempt>`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def offer(self, ticket: Ticket, digest: str, attempt: int) -> None:
        """Let attempt number `attempt` at a request with this `digest` continue with the job."""
        self._store.create(f"{_folder(ticket.owner, digest, attempt)}{ticket.id}/offer.json", b"{}")

    def take(self, owner: str, digest: str, attempt: int) -> Ticket | None:
        """Return a job that was offered to this attempt and not taken yet."""
        folder = _folder(owner, digest, attempt)
        for name in self._store.list(folder, _OFFERS):
            ticket = Ticket.parse(f"{owner}-{name}")
            fresh = ticket and self._clock.now() - ticket.created_at < OFFER_S
            if ticket and fresh and self._store.create(f"{folder}{name}/taken.json", b"{}"):
                return ticket
        return None

    def begin(self, owner: str, digest: str, received_at: float) -> Attempt:
        """Mark an attempt at a request with this `digest`. Its key is new, or that of an attempt without a response.

        `received_at`: when the gateway received it, on the steady clock. From then on it waits for the function.
        """
        age = max(0.0, self._clock.steady() - received_at)
        mark = new_ticket(owner, self._clock.arrival() - age)
        attempt = Attempt(self._lost(owner, digest) or mark.id, mark, digest)
        self._store.create(_mark(attempt.mark, digest), attempt.key.encode())
        return attempt

    def end(self, attempt: Attempt) -> None:
        """Remove the mark of an attempt whose response is about to be sent, unless that is too late."""
        if self._clock.now() - attempt.mark.created_at < LOST_S:
            with suppress(EaselError):
                self._store.delete(_mark(attempt.mark, attempt.digest))

    def _lost(self, owner: str, digest: str) -> str | None:
        """Return the key of an attempt that got no response, and that no other attempt continues."""
        for name in self._store.list(_folder(owner, digest, "unanswered"), _OFFERS):
            mark = Ticket.parse(f"{owner}-{name}")
            if not mark or not LOST_S <= self._clock.now() - mark.created_at < LOST_FOR_S:
                continue
            key = self._store.read(_mark(mark, digest))
            if key and self._store.create(f"{_mark(mark, digest)}-continued", b"{}"):
                return key.decode()
        return None


def _mark(attempt: Ticket, digest: str) -> str:
    return f"{_folder(attempt.owner, digest, 'unanswered')}{attempt.id}"


def _folder(owner: str, digest: str, attempt: int | str) -> str:
    return f"idempotency/{owner}/{digest}/{attempt}/"
