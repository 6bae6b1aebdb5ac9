"""What every API does with a request: start a job, wait for it, and read its images."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from contract import EaselError, GenerationRequest, ModelProfile, dumps, refuse
from gateway.events import MAX_RESPONSE_BYTES, Request
from jobs.lifecycle import Jobs
from jobs.ports import EndpointState, Ticket
from jobs.records import Job, Record
from jobs.webhook import Webhook
from webhooks.offer import Webhooks

RESERVE_S = 3.0
"""Kept from the function's time after the wait, to read and send the images."""
MAX_INLINE_BYTES = MAX_RESPONSE_BYTES - 65_536
"""Largest response with images in its body. The rest is a reserve for headers and escapes."""
MAX_WARNINGS = 20
"""The most warnings that are kept of a request."""

_JOB_ID = re.compile(r"[0-9a-f]{44}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)


class ModelLoadingError(EaselError):
    """The endpoint starts. `seconds`: until it is usually ready."""

    def __init__(self, message: str, seconds: int) -> None:
        self.seconds = seconds
        minutes = f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"
        super().__init__("model_loading", message, hint=f"Send the request again in {minutes}.")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A deployed model. `usd_per_hour`: price of an instance of its endpoint, if it is known."""

    profile: ModelProfile
    usd_per_hour: float | None = None


class Generations:
    """The jobs of the service's models, as APIs use them.

    `models`: those of `jobs.endpoints`, in the same order: the first is the default. `wait_s`: how long a request waits
    for its job, from when the gateway received it. `deadline_ms`: deadline of requests without one.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        models: Sequence[Model],
        wait_s: float,
        deadline_ms: int | None,
        webhooks: Webhooks,
    ) -> None:
        self.jobs, self.models, self.webhooks = jobs, tuple(models), webhooks
        self.profiles = tuple(model.profile for model in models)
        self._wait_s, self._deadline_ms = wait_s, deadline_ms

    def accept(
        self,
        request: Request,
        generation: GenerationRequest,
        sent: Mapping[str, Any],
        webhook: Webhook | None = None,
        warnings: Sequence[str] = (),
        key: str = "",
    ) -> Record:
        """Start a job, or return that of an earlier request with the same Idempotency-Key, which may be our own `key`.

        `sent`: the fields of the body, which must then be the same, as must the model. `warnings`: those of `Record`.
        Raises `bad_header`, and the errors of `Jobs.accept`.
        """
        if generation.model:  # it may be in the path, or an option of the caller
            sent = {**sent, "model": generation.model}
        key, digest = (key, _digest(sent)) if key else _idempotency(request, sent)
        if generation.deadline_ms is None:
            generation = replace(generation, deadline_ms=self._deadline_ms)
        return self.jobs.accept(request.owner, generation, key, digest, webhook, warnings[:MAX_WARNINGS])

    def resume(self, request: Request, sent: Mapping[str, Any], attempt: int) -> Record | None:
        """Return the job that was offered to this attempt of a request without Idempotency-Key, or None."""
        ticket = self.jobs.retries.take(request.owner, _digest(sent), attempt)
        return self.jobs.get(ticket).record if ticket else None

    def offer(self, record: Record, sent: Mapping[str, Any], attempt: int) -> None:
        """Let the attempt `attempt` of a request without Idempotency-Key continue with the job."""
        self.jobs.retries.offer(record.ticket, _digest(sent), attempt)

    @contextmanager
    def attempt(self, request: Request, sent: Mapping[str, Any]) -> Iterator[str]:
        """Yield an Idempotency-Key for a request without one, whose client may repeat it: that of an equal request that
        got no response, or a new key."""
        attempt = self.jobs.retries.begin(request.owner, _digest(sent), request.received_at)
        try:
            yield attempt.key
        finally:
            self.jobs.retries.end(attempt)

    def ticket(self, request: Request, id: str) -> Ticket:
        """Return the ticket of the caller's job. Raises `not_found` for what is no job id."""
        if not _JOB_ID.fullmatch(id):
            refuse("not_found", None, "there is no such job", "GET /jobs lists the newest jobs.")
        return Ticket(request.owner, id)

    def wait(self, request: Request, record: Record, at_most: float = math.inf) -> Job:
        """Return the job when it has ended, or after `wait_s` or `at_most` seconds, or as soon as the function's time
        is almost over."""
        seconds = min(self._wait_s, at_most)
        return self.jobs.wait(record, min(request.received_at + seconds, request.ends_at - RESERVE_S))

    def finish(self, request: Request, record: Record) -> Job:
        """Wait for the job and return it with its images.

        Raises its error; after `wait_s` `use_jobs`, or, while the endpoint starts, `model_loading`: then the job is
        cancelled, so that the client's next attempt is the only one that generates.
        """
        job = self.wait(request, record)
        if not job.outcome:
            raise self._unfinished(request, job)
        if error := job.outcome.exception():
            raise error
        return job

    def _unfinished(self, request: Request, job: Job) -> EaselError:
        state = self.state(job.model)
        if state.status in ("asleep", "starting"):
            if request.header("idempotency-key") is None:
                with suppress(EaselError):
                    self.jobs.cancel(job.ticket)
            return ModelLoadingError("the model is starting", 60 * state.wake_minutes[0] if state.wake_minutes else 30)
        hint = f"GET /jobs/{job.ticket.id} returns them when they are ready; POST /jobs starts a job without waiting."
        return EaselError("use_jobs", "the images take longer than one response may", hint=hint)

    def files(self, job: Job) -> list[bytes]:
        """Return the image files of a job that has succeeded. Raises `not_found` if one was deleted."""
        images = job.outcome.images if job.outcome else ()
        return [self.jobs.image(job.ticket, image.name) for image in images]

    def inline(self, job: Job, other_bytes: int) -> list[str] | None:
        """Return the image files as base64, or None if they do not fit into a response with `other_bytes` of others."""
        images = job.outcome.images if job.outcome else ()
        if other_bytes + sum(4 * ((image.size + 2) // 3) + 5 for image in images) > MAX_INLINE_BYTES:
            return None
        return [base64.b64encode(file).decode() for file in self.files(job)]

    @property
    def profile(self) -> ModelProfile:
        """The default model's."""
        return self.profiles[0]

    @property
    def prices(self) -> dict[str, float | None]:
        """USD of an hour of an instance, by model id; None: not known."""
        return {model.profile.id: model.usd_per_hour for model in self.models}

    def state(self, model: str = "") -> EndpointState:
        """Return the state of a model's endpoint, by default the first's; `unknown` if it cannot be read."""
        try:
            return self.jobs.endpoints.of(model).state()
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
    return sha256(dumps(dict(sorted(sent.items()))).encode("utf-8", "surrogatepass")).hexdigest()
