"""Webhooks of a job: what the caller wants to be notified of, and what the store keeps of each delivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from contract import WEBHOOK_EVENTS, dumps
from jobs.ports import LAST_SECOND, Store, Ticket

Event = Literal["start", "completed"]
START: Event
COMPLETED: Event
START, COMPLETED = WEBHOOK_EVENTS


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where the events of a job are sent. The URL may contain a secret: it is in `job.json` and nowhere else.

    `api`: the API that the job came by, whose form the body has.
    """

    url: str = field(repr=False)
    events: tuple[Event, ...]
    api: str = "native"

    @property
    def origin(self) -> str:
        """The URL for responses, without path and query."""
        scheme, _, rest = self.url.partition("://")
        host = rest.partition("/")[0].partition("?")[0]
        return f"{scheme}://{host}{'/…' if len(rest) > len(host) + 1 else ''}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt. `at`: seconds since 1970. `status`: of the response, if one came. `error`: why it failed."""

    at: Annotated[float, Field(ge=0, le=LAST_SECOND)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    status: int | None = None
    error: str = ""


State = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The delivery of one event: `webhook-<event>.json`. `waiting`: for its first or next attempt."""

    state: State = "waiting"
    attempts: tuple[Attempt, ...] = ()

    def to_json(self) -> bytes:
        return dumps(asdict(self)).encode()


@cache
def _adapter() -> TypeAdapter[Delivery]:
    """Return what reads deliveries. It is made when the first is read: making it takes time in every cold start."""
    return TypeAdapter(Delivery)


def delivery_key(ticket: Ticket, event: str) -> str:
    """Return the store key of a delivery."""
    return ticket.key(f"webhook-{event}.json")


def read_delivery(store: Store, ticket: Ticket, event: str) -> Delivery | None:
    """Return the delivery, or None if the event was not queued. One that cannot be read has failed."""
    body = store.read(delivery_key(ticket, event))
    if body is None:
        return None
    try:
        return _adapter().validate_json(body)
    except ValidationError:
        return Delivery(state="failed")


Announce = Callable[[Ticket, str], None]
"""Called with a job and an event. May raise EaselError; may be called again for the same event."""
