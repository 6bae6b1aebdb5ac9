"""What every API does with a request: start a job, wait for it, and read its images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from contract import EaselError, GenerationRequest, ModelProfile, dumps, refuse
from gateway.events import Request
from jobs.lifecycle import Jobs
from jobs.ports import EndpointState
from jobs.records import Job, Record

RESERVE_S = 3.0
"""Kept from the function's time after the wait, to read and send the images."""

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)


class Generations:
    """The jobs of one model, as APIs use them.

    `wait_s`: how long a request waits for its job, from when the gateway received it. `deadline_ms`: deadline of
    requests without one. `usd_per_hour`: price of an instance of the endpoint, if it is known.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        profile: ModelProfile,
        wait_s: float,
        deadline_ms: int | None,
        usd_per_hour: float | None = None,
    ) -> None:
        self.jobs, self.profile, self.usd_per_hour = jobs, profile, usd_per_hour
        self._wait_s, self._deadline_ms = wait_s, deadline_ms

    def accept(self, request: Request, generation: GenerationRequest, sent: Mapping[str, Any]) -> Record:
        """Start a job, or return that of an earlier request with the same Idempotency-Key.

        `sent`: the fields of the body, which must then be the same. Raises `bad_header`, and the errors of
        `Jobs.accept`.
        """
        key, digest = _idempotency(request, sent)
        if generation.deadline_ms is None:
            generation = replace(generation, deadline_ms=self._deadline_ms)
        return self.jobs.accept(request.owner, generation, key, digest)

    def resume(self, request: Request, sent: Mapping[str, Any], attempt: int) -> Record | None:
        """Return the job that was offered to this attempt of a request without Idempotency-Key, or None."""
        ticket = self.jobs.retries.take(request.owner, _digest(sent), attempt)
        return self.jobs.get(ticket).record if ticket else None

    def offer(self, record: Record, sent: Mapping[str, Any], attempt: int) -> None:
        """Let the attempt `attempt` of a request without Idempotency-Key continue with the job."""
        self.jobs.retries.offer(record.ticket, _digest(sent), attempt)

    def wait(self, request: Request, record: Record) -> Job:
        """Return the job when it has ended, or after `wait_s`, or as soon as the function's time is almost over."""
        return self.jobs.wait(record, min(request.received_at + self._wait_s, request.ends_at - RESERVE_S))

    def files(self, job: Job) -> list[bytes]:
        """Return the image files of a job that has succeeded. Raises `not_found` if one was deleted."""
        images = job.outcome.images if job.outcome else ()
        return [self.jobs.image(job.ticket, image.name) for image in images]

    def state(self) -> EndpointState:
        """Return the endpoint's state; `unknown` if it cannot be read."""
        try:
            return self.jobs.endpoint.state()
        except EaselError as error:
            return EndpointState("unknown", error.message)


def _idempotency(request: Request, sent: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key and a hash of the fields, or empty strings without a key."""
    key = request.header("idempotency-key")
    if key is None:
        return "", ""
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        hint = "Send 1 to 255 printable ASCII characters."
        refuse("bad_header", "idempotency-key", "the Idempotency-Key has an invalid length or character", hint)
    return key, _digest(sent)


def _digest(sent: Mapping[str, Any]) -> str:
    return sha256(dumps(dict(sorted(sent.items()))).encode()).hexdigest()
