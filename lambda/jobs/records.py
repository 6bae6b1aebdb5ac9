"""The JSON objects that the store keeps of a job, and how they are read.

Fields that a newer version added are ignored. An object that is empty, no JSON, or lacks a field is damaged: reading it
raises `record_damaged`, and only that job is affected.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from contract import ERRORS, IMAGES, EaselError, GenerationRequest, dumps, render_request
from jobs.ports import LAST_SECOND, Store, Submission, Ticket
from jobs.webhook import Delivery, Event, Webhook

T = TypeVar("T")
Timestamp = Annotated[float, Field(ge=0, le=LAST_SECOND)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


def new_ticket(owner: str, now: float) -> Ticket:
    """Return a new job id. Later ids sort first, so that a listing starts with the newest; 128 bits are random."""
    return Ticket(owner, f"{2**48 - 1 - int(now * 1000):012x}{secrets.token_hex(16)}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """An accepted job: `job.json`. `created_at`: seconds since 1970. `steady_at`: the same moment on the steady clock.
    `request`: `without_image`, so that records stay small. `model`: id of the model that runs it, also if the request
    names none; empty in records of older versions. `warnings`: about fields that its API changed or ignored."""

    ticket: Ticket
    created_at: float
    steady_at: float | None = None
    request: GenerationRequest
    model: str = ""
    webhook: Webhook | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        request = json.loads(render_request(self.request))
        value = {"id": self.ticket.id, "owner": self.ticket.owner, "created_at": self.created_at}
        more: dict[str, Any] = {"webhook": asdict(self.webhook)} if self.webhook else {}
        more |= {"warnings": self.warnings} if self.warnings else {}
        more |= {"model": self.model} if self.model else {}
        return dumps({**value, "steady_at": self.steady_at, "request": request, **more}).encode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image file in the job's folder. `size` is in bytes. `flagged`: by the model's safety checker."""

    name: Annotated[str, Field(pattern=r"^image-[0-9]{1,4}\.[a-z0-9]{1,9}$")]
    seed: int
    size: Annotated[int, Field(ge=0)]
    flagged: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended: `outcome.json`. `error` of a failed job has code, message, hint, param."""

    status: Literal["succeeded", "failed", "cancelled"]
    completed_at: Timestamp
    images: tuple[Image, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Seconds] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: Mapping[str, str | None] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    """As of a `GenerationResult`."""

    @classmethod
    def failed(cls, error: EaselError, completed_at: float) -> Outcome:
        param = None if error.param is None else str(error.param)
        value = {"code": error.code, "message": str(error.message), "hint": str(error.hint), "param": param}
        return cls(status="failed", completed_at=completed_at, error=value)

    def exception(self) -> EaselError | None:
        """Return why the job has no images, or None if it succeeded. A code of a newer version is a `model_error`."""
        if self.status == "cancelled":
            return EaselError("cancelled", "the job was cancelled")
        if self.status == "succeeded":
            return None
        error = self.error or {}
        code, message, hint, param = (error.get(name) for name in ("code", "message", "hint", "param"))
        known = code if code in ERRORS else "model_error"
        return EaselError(str(known), message or "the job failed", hint=hint or "", param=param)

    @property
    def is_damaged(self) -> bool:
        """Whether `outcome.json` cannot be read."""
        return bool(self.error and self.error.get("code") == "record_damaged")

    def to_json(self) -> bytes:
        return dumps(asdict(self)).encode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class Job:
    """The current state of a job. `record` is None if it is damaged; the outcome says so. `deliveries`: those of its
    webhook that have begun, by event."""

    ticket: Ticket
    record: Record | None
    started_at: float | None = None
    outcome: Outcome | None = None
    deliveries: Mapping[Event, Delivery] = field(default_factory=dict)

    @property
    def created_at(self) -> float:
        return self.record.created_at if self.record else self.ticket.created_at

    @property
    def model(self) -> str:
        """Id of the model; empty if it is not known."""
        return self.record.model if self.record else ""

    @property
    def status(self) -> str:
        if self.outcome:
            return self.outcome.status
        return "running" if self.started_at else "queued"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return those of the job's API, then those of the model."""
        return (*(self.record.warnings if self.record else ()), *(self.outcome.warnings if self.outcome else ()))


def in_order(job: Job) -> Job:
    """Return the job with created_at <= started_at <= completed_at, whatever the clock showed, and no negative time."""
    first = job.created_at
    started_at = None if job.started_at is None else max(job.started_at, first)
    if not job.outcome:
        return replace(job, started_at=started_at)
    completed_at = max(job.outcome.completed_at, first)
    timings = {name: max(0.0, seconds) for name, seconds in job.outcome.timings.items()}
    outcome = replace(job.outcome, completed_at=completed_at, timings=timings)
    return replace(job, started_at=None if started_at is None else min(started_at, completed_at), outcome=outcome)


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _StoredRecord:
    """The content of `job.json`. Owner and id are those of its key."""

    created_at: Timestamp
    steady_at: Seconds | None = None
    request: GenerationRequest
    model: str = ""
    webhook: Webhook | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The content of `started.json`."""

    started_at: Timestamp


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The job that an idempotency key belongs to, and the hash of its request."""

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{44}$")]
    request: str


_RECORD, _OUTCOME, _START = TypeAdapter(_StoredRecord), TypeAdapter(Outcome), TypeAdapter(_Start)
_SUBMISSION, _CLAIM = TypeAdapter(Submission), TypeAdapter(Claim)


def read_record(store: Store, ticket: Ticket) -> Record | None:
    """Return the record of a job, or None if there is no such job. Raises `record_damaged`."""
    stored = _read(store, ticket.key("job.json"), _RECORD)
    if stored is None:
        return None
    if not IMAGES.minimum <= stored.request.image_count <= IMAGES.maximum:
        raise _damaged("job.json")
    return Record(
        ticket=ticket,
        created_at=stored.created_at,
        steady_at=stored.steady_at,
        request=stored.request,
        model=stored.model,
        webhook=stored.webhook,
        warnings=stored.warnings,
    )


def read_outcome(store: Store, ticket: Ticket) -> Outcome | None:
    """Return the outcome, or None if the job has not ended. A damaged one is a failure: the job will not run again."""
    try:
        return _read(store, ticket.key("outcome.json"), _OUTCOME)
    except DamagedRecordError as error:
        return Outcome.failed(error, ticket.created_at)


def read_start(store: Store, ticket: Ticket) -> float | None:
    """Return when the job started, or None if it has not. A damaged record says only that it has."""
    try:
        start = _read(store, ticket.key("started.json"), _START)
        return start.started_at if start else None
    except DamagedRecordError:
        return ticket.created_at


def read_submission(store: Store, ticket: Ticket) -> Submission | None:
    """Return where the response will be, or None if the job was not submitted.

    A damaged record says only that it was submitted.
    """
    try:
        return _read(store, ticket.key("submitted.json"), _SUBMISSION)
    except DamagedRecordError:
        return Submission()


def read_claim(store: Store, key: str) -> Claim | None:
    """Return the claim of an idempotency key, or None if it has none. Raises `record_damaged`."""
    return _read(store, key, _CLAIM)


class DamagedRecordError(EaselError):
    """A stored object that cannot be read."""


def _damaged(key: str) -> DamagedRecordError:
    message = f"the stored {key.rpartition('/')[2]} is empty or damaged"
    return DamagedRecordError("record_damaged", message, hint="Send the request again, with a new Idempotency-Key.")


def _read(store: Store, key: str, adapter: TypeAdapter[T]) -> T | None:
    """Return the object, or None if it does not exist. Raises DamagedRecordError."""
    body = store.read(key)
    if body is None:
        return None
    try:
        return adapter.validate_json(body)
    except ValidationError:
        raise _damaged(key) from None
