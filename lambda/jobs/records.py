"""The objects that the store keeps of a job: `job.json` (its request) and `outcome.json` (its end)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from contract import EaselError, GenerationRequest, dumps, render_request
from jobs.ports import Ticket


def new_ticket(owner: str, now: float) -> Ticket:
    """Return a new job id. Later ids sort first, so that a listing starts with the newest; 128 bits are random."""
    return Ticket(owner, f"{2**48 - 1 - int(now * 1000):012x}{secrets.token_hex(16)}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """An accepted job. `created_at`: seconds since 1970. `request`: `without_image`, so that records stay small."""

    ticket: Ticket
    created_at: float
    request: GenerationRequest

    def to_json(self) -> bytes:
        request = json.loads(render_request(self.request))
        value = {"id": self.ticket.id, "owner": self.ticket.owner, "created_at": self.created_at, "request": request}
        return dumps(value).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Record:
        value = json.loads(body)
        request = {**value["request"], "prompt": tuple(value["request"]["prompt"])}
        ticket = Ticket(value["owner"], value["id"])
        return cls(ticket=ticket, created_at=value["created_at"], request=GenerationRequest(**request))


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image file in the job's folder. `size` is in bytes."""

    name: str
    seed: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended. `status`: `succeeded`, `failed` (`error` has code, message, hint, param) or `cancelled`."""

    status: str
    completed_at: float
    images: tuple[Image, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None

    @classmethod
    def failed(cls, error: EaselError, completed_at: float) -> Outcome:
        param = None if error.param is None else str(error.param)
        value = {"code": error.code, "message": str(error.message), "hint": str(error.hint), "param": param}
        return cls(status="failed", completed_at=completed_at, error=value)

    def exception(self) -> EaselError | None:
        """Return why the job has no images, or None if it succeeded."""
        if self.status == "cancelled":
            return EaselError("cancelled", "the job was cancelled")
        if self.error is None:
            return None
        error = self.error
        return EaselError(error["code"], error["message"], hint=error["hint"], param=error["param"])

    def to_json(self) -> bytes:
        return dumps(asdict(self)).encode("utf-8", "replace")

    @classmethod
    def from_json(cls, body: bytes) -> Outcome:
        value = json.loads(body)
        value["images"] = tuple(Image(**image) for image in value["images"])
        value["warnings"] = tuple(value["warnings"])
        return cls(**value)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The current state of a job."""

    record: Record
    started_at: float | None = None
    outcome: Outcome | None = None

    @property
    def ticket(self) -> Ticket:
        return self.record.ticket

    @property
    def status(self) -> str:
        if self.outcome:
            return self.outcome.status
        return "running" if self.started_at else "queued"
