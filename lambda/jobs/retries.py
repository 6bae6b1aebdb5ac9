"""The jobs of requests that clients repeat by themselves.

Some clients count their retries in a header, and send no Idempotency-Key. When such a request ends without its images
and is to be sent again, its job is offered to the next attempt with the same content. Each offer is taken once: two
equal requests that run at the same time keep two jobs.
"""

from __future__ import annotations

from jobs.ports import Clock, Store, Ticket

OFFER_S = 15 * 60
"""Age up to which a job is given to a retry."""
_OFFERS = 50
"""Offers of one content that are looked at, the newest first."""


class Retries:
    """Offers in the store: `idempotency/<owner>/<digest>/<attempt>/<job>/`."""

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


def _folder(owner: str, digest: str, attempt: int) -> str:
    return f"idempotency/{owner}/{digest}/{attempt}/"
