"""The life of a job: accepted, submitted, ended. All state is in the store.

Every end is a conditional write of `outcome.json`: success, failure, cancellation and expiry may arrive twice, late or
at the same time, and the first is final. Reading a job also repairs it: it takes in a response that lies in the store,
submits a job whose creator died before it could, and ends a job that waited too long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain, repeat

from contract import EaselError, GenerationRequest, dumps, render_request, without_image
from jobs.failures import parse_failure
from jobs.outcomes import JobReporter
from jobs.ports import Clock, Endpoint, Store, Submission, Ticket
from jobs.records import Job, Outcome, Record, new_ticket

SUBMIT_GRACE_S = 60
"""A job that is older and not submitted has lost its creator: functions that create jobs time out earlier."""

_MAYBE_QUEUED = ("upstream_closed", "upstream_truncated", "model_timeout")
"""Errors of `Endpoint.submit` after which the job may be queued nevertheless."""


class Jobs:
    """The operations that APIs offer on jobs.

    `ttl_s`: seconds after which a job without an outcome fails with `job_expired`. `pauses`: seconds between two reads
    of `wait`, the last repeated. `on_accept`: called for each new job.
    """

    def __init__(
        self,
        *,
        store: Store,
        reporter: JobReporter,
        endpoint: Endpoint,
        clock: Clock,
        ttl_s: float,
        pauses: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
        on_accept: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.endpoint = endpoint
        self._store, self._reporter, self._clock, self._on_accept = store, reporter, clock, on_accept
        self._ttl_s, self._pauses = ttl_s, pauses

    # --- operations ------------------------------------------------------------------------------

    def accept(self, owner: str, request: GenerationRequest, key: str = "", digest: str = "") -> Record:
        """Create and submit a job, or return the job that the same idempotency `key` created earlier.

        `digest` is the hash of the request as sent. Raises `idempotency_mismatch` if the key came with another digest,
        and the endpoint's error if it did not accept the job.
        """
        now = self._clock.now()
        record = Record(ticket=new_ticket(owner, now), created_at=now, request=without_image(request))
        claim = f"idempotency/{owner}/{sha256(key.encode()).hexdigest()}.json" if key else ""
        if claim:
            record = replace(record, ticket=self._claim(claim, record.ticket, digest))
        if request.init_image is not None:
            self._store.create(record.ticket.key("init-image"), request.init_image.encode())
        if not self._store.create(record.ticket.key("job.json"), record.to_json()):
            return self._reporter.record(record.ticket)
        self._on_accept(record)
        self._submit(record, claim)
        return record

    def get(self, ticket: Ticket) -> Job:
        """Return the job. Raises `not_found`."""
        return self._read(self._reporter.record(ticket))

    def wait(self, record: Record, until: float) -> Job:
        """Return the job when it has ended, or its state at `until` (seconds since 1970)."""
        pauses: Iterator[float] = chain(self._pauses, repeat(self._pauses[-1]))
        while True:
            job = self._try_read(record)
            remaining = until - self._clock.now()
            if job.outcome or remaining <= 0:
                return job
            self._clock.sleep(min(next(pauses), remaining))

    def recent(self, owner: str, limit: int) -> list[Job]:
        """Return the owner's newest jobs, newest first."""
        tickets = [Ticket(owner, name) for name in self._store.list(f"jobs/{owner}/", limit)]
        with ThreadPoolExecutor(8) as pool:
            bodies = pool.map(lambda ticket: self._store.read(ticket.key("job.json")), tickets)
            return list(pool.map(self._read, (Record.from_json(body) for body in bodies if body)))

    def cancel(self, ticket: Ticket) -> Job:
        """End a job that is not known to have started. Raises `job_running` or `job_finished`."""
        job = self.get(ticket)
        if not job.outcome and job.started_at:
            raise EaselError("job_running", "the image is being generated", hint="Wait until the job ends.")
        outcome = job.outcome or self._reporter.end(
            job.record, Outcome(status="cancelled", completed_at=self._clock.now())
        )
        if outcome.status != "cancelled":
            raise EaselError("job_finished", f"the job has {outcome.status}")
        for name in ("request.json", "init-image"):
            self._store.delete(ticket.key(name))
        return replace(job, outcome=outcome)

    def image(self, ticket: Ticket, name: str) -> bytes:
        """Return an image file. Raises `not_found` if it was deleted."""
        body = self._store.read(ticket.key(name))
        if body is None:
            raise EaselError("not_found", "the image was deleted", hint="Send the request again.")
        return body

    def link(self, ticket: Ticket, name: str) -> str:
        """Return a URL of an image file that works for 15 minutes."""
        return self._store.link(ticket.key(name), 900)

    # --- inside ----------------------------------------------------------------------------------

    def _claim(self, claim: str, ticket: Ticket, digest: str) -> Ticket:
        if self._store.create(claim, dumps({"job": ticket.id, "request": digest}).encode()):
            return ticket
        body = self._store.read(claim)
        if body is None:
            return self._claim(claim, ticket, digest)
        first = json.loads(body)
        if first["request"] != digest:
            message, hint = "this Idempotency-Key belongs to another request", "Send a new key with a new request."
            raise EaselError("idempotency_mismatch", message, hint=hint)
        return Ticket(ticket.owner, first["job"])

    def _submit(self, record: Record, claim: str = "") -> None:
        ticket = record.ticket
        try:
            self._store.write(ticket.key("request.json"), render_request(self._with_image(record)).encode())
            submission = self.endpoint.submit(ticket)
        except EaselError as error:
            if error.code not in _MAYBE_QUEUED:
                self._reporter.end(record, Outcome.failed(error, self._clock.now()))
                if claim:
                    self._store.delete(claim)
            raise
        self._store.write(ticket.key("submitted.json"), dumps(asdict(submission)).encode())

    def _with_image(self, record: Record) -> GenerationRequest:
        """Return the request with its init_image. Raises `input_missing` if the image was deleted."""
        if record.request.init_image is None:
            return record.request
        image = self._store.read(record.ticket.key("init-image"))
        if image is None:
            raise EaselError("input_missing", "the init_image was deleted", hint="Send the request again.")
        return replace(record.request, init_image=image.decode())

    def _read(self, record: Record) -> Job:
        ticket = record.ticket
        outcome = self._reporter.outcome(ticket)
        started = self._store.read(ticket.key("started.json"))
        job = Job(record=record, outcome=outcome, started_at=json.loads(started)["started_at"] if started else None)
        return job if outcome else replace(job, outcome=self._repair(job))

    def _try_read(self, record: Record) -> Job:
        try:
            return self._read(record)
        except EaselError as error:
            if not error.kind.retryable:
                raise
            return Job(record=record)

    def _repair(self, job: Job) -> Outcome | None:
        ticket, age = job.ticket, self._clock.now() - job.record.created_at
        submitted = self._store.read(ticket.key("submitted.json"))
        outcome = self._collect(ticket, Submission(**json.loads(submitted))) if submitted else None
        if outcome:
            return outcome
        if age > self._ttl_s:
            error = EaselError("job_expired", f"the job did not end within {self._ttl_s:.0f} seconds")
            return self._reporter.fail(ticket, error)
        if not submitted and not job.started_at and age > SUBMIT_GRACE_S:
            self._submit_again(job.record)
        return None

    def _collect(self, ticket: Ticket, submission: Submission) -> Outcome | None:
        """Take in the response or failure that the endpoint put into the store."""
        output = self._store.read(submission.output) if submission.output else None
        if output is not None:
            return self._reporter.finish(ticket, output)
        failure = self._store.read(submission.failure) if submission.failure else None
        if failure is None:
            return None
        return self._reporter.fail(ticket, parse_failure(failure.decode(errors="replace")))

    def _submit_again(self, record: Record) -> None:
        if self._store.create(record.ticket.key("resubmitted.json"), b"{}"):
            with suppress(EaselError):  # `_submit` has recorded it as the job's outcome
                self._submit(record)
