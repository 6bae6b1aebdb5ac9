"""The life of a job: accepted once, submitted, finished once. All of it is in the store.

Every end is a conditional write of `outcome.json`, so that success, failure, cancellation and expiry may come twice,
late or at the same moment: the first one stands. Whoever looks at a job also tends it: takes in an answer that nobody
told of, submits a job whose creator died before it could, and ends one that waited too long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain, repeat

from contract import EaselError, GenerationRequest, dumps, render_request, without_picture
from jobs.failures import read_failure
from jobs.outcomes import Finisher, ignore
from jobs.ports import Clock, Endpoint, Store, Submission, Ticket
from jobs.records import Job, Outcome, Record, new_ticket

SUBMIT_GRACE_S = 60
"""A job that is older and not submitted has lost its creator: no function that creates one lives so long."""

_UNSURE = ("upstream_closed", "upstream_truncated", "model_timeout")
"""Failures of `Endpoint.submit` after which the job may be queued all the same."""


class Jobs(Finisher):
    """What callers of the API may ask.

    `ttl_s`: a job without an outcome after so many seconds is `job_expired`. `pauses`: seconds between two looks of
    `wait`, the last one repeated. `on_accept` hears of every job that is made.
    """

    def __init__(
        self,
        *,
        store: Store,
        endpoint: Endpoint,
        clock: Clock,
        ttl_s: float,
        pauses: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
        on_end: Callable[[Record, Outcome], None] = ignore,
        on_accept: Callable[[Record], None] = lambda record: None,
    ) -> None:
        super().__init__(store=store, clock=clock, on_end=on_end)
        self._on_accept = on_accept
        self.endpoint, self._ttl_s, self._pauses = endpoint, ttl_s, pauses

    # --- what a caller may ask -------------------------------------------------------------------

    def accept(self, owner: str, request: GenerationRequest, key: str = "", digest: str = "") -> Record:
        """Creates and submits a job. With an idempotency `key`, the job that the key made first; `digest` is the hash
        of the request as it was sent.

        Raises `idempotency_mismatch`, or why the endpoint did not take the job.
        """
        now = self._clock.now()
        record = Record(ticket=new_ticket(owner, now), created_at=now, request=without_picture(request))
        claim = f"idempotency/{owner}/{sha256(key.encode()).hexdigest()}.json" if key else ""
        if claim:
            record = replace(record, ticket=self._claim(claim, record.ticket, digest))
        if request.init_image is not None:
            self._store.create(record.ticket.key("init-image"), request.init_image.encode())
        if not self._store.create(record.ticket.key("job.json"), record.to_json()):
            return self._record(record.ticket)
        self._on_accept(record)
        self._submit(record, claim)
        return record

    def get(self, ticket: Ticket) -> Job:
        """Raises `not_found`, whoever asks."""
        return self._look(self._record(ticket))

    def wait(self, record: Record, until: float) -> Job:
        """The job when it is done, or as it stands at `until` (seconds since 1970)."""
        pauses: Iterator[float] = chain(self._pauses, repeat(self._pauses[-1]))
        while True:
            job = self._patient_look(record)
            left = until - self._clock.now()
            if job.outcome or left <= 0:
                return job
            self._clock.sleep(min(next(pauses), left))

    def recent(self, owner: str, limit: int) -> list[Job]:
        """The owner's newest jobs, newest first."""
        tickets = [Ticket(owner, name) for name in self._store.list(f"jobs/{owner}/", limit)]
        with ThreadPoolExecutor(8) as pool:
            bodies = pool.map(lambda ticket: self._store.read(ticket.key("job.json")), tickets)
            return list(pool.map(self._look, (Record.from_json(body) for body in bodies if body)))

    def cancel(self, ticket: Ticket) -> Job:
        """Ends a job that nobody knows to have started. Raises `job_running` or `job_finished`."""
        job = self.get(ticket)
        if not job.outcome and job.started_at:
            raise EaselError("job_running", "the picture is being drawn", hint="Wait for it: it ends by its deadline.")
        outcome = job.outcome or self._end(job.record, Outcome(status="cancelled", completed_at=self._clock.now()))
        if outcome.status != "cancelled":
            raise EaselError("job_finished", f"the job has {outcome.status}")
        for name in ("request.json", "init-image"):
            self._store.delete(ticket.key(name))
        return replace(job, outcome=outcome)

    def picture(self, ticket: Ticket, name: str) -> bytes:
        """Raises `not_found` where it was deleted."""
        body = self._store.read(ticket.key(name))
        if body is None:
            raise EaselError("not_found", "the picture is no longer kept")
        return body

    def link(self, ticket: Ticket, name: str) -> str:
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
            hint = "Send a new key with a new request."
            raise EaselError("idempotency_mismatch", "this key came with another request", hint=hint)
        return Ticket(ticket.owner, first["job"])

    def _submit(self, record: Record, claim: str = "") -> None:
        ticket = record.ticket
        try:
            self._store.write(ticket.key("request.json"), render_request(self._whole(record)).encode())
            submission = self.endpoint.submit(ticket)
        except EaselError as error:
            if error.code not in _UNSURE:
                self._end(record, Outcome.failed(error, self._clock.now()))
                if claim:
                    self._store.delete(claim)
            raise
        self._store.write(ticket.key("submitted.json"), dumps(asdict(submission)).encode())

    def _whole(self, record: Record) -> GenerationRequest:
        """The request as it was accepted. Raises `input_missing` where its picture was deleted."""
        if record.request.init_image is None:
            return record.request
        picture = self._store.read(record.ticket.key("init-image"))
        if picture is None:
            raise EaselError("input_missing", "the init_image is no longer kept", hint="Send the request again.")
        return replace(record.request, init_image=picture.decode())

    def _look(self, record: Record) -> Job:
        ticket = record.ticket
        outcome = self._outcome(ticket)
        body = self._store.read(ticket.key("started.json"))
        job = Job(record=record, outcome=outcome, started_at=json.loads(body)["started_at"] if body else None)
        return job if outcome else replace(job, outcome=self._tend(job))

    def _patient_look(self, record: Record) -> Job:
        try:
            return self._look(record)
        except EaselError as error:
            if not error.kind.retryable:
                raise
            return Job(record=record)

    def _tend(self, job: Job) -> Outcome | None:
        ticket, age = job.ticket, self._clock.now() - job.record.created_at
        told = self._store.read(ticket.key("submitted.json"))
        outcome = self._collect(ticket, Submission(**json.loads(told))) if told else None
        if outcome:
            return outcome
        if age > self._ttl_s:
            return self.fail(ticket, EaselError("job_expired", f"no answer came in {self._ttl_s:.0f} seconds"))
        if not told and not job.started_at and age > SUBMIT_GRACE_S:
            self._submit_again(job.record)
        return None

    def _collect(self, ticket: Ticket, submission: Submission) -> Outcome | None:
        answer = self._store.read(submission.answer) if submission.answer else None
        if answer is not None:
            return self.finish(ticket, answer)
        failure = self._store.read(submission.failure) if submission.failure else None
        return None if failure is None else self.fail(ticket, read_failure(failure.decode(errors="replace")))

    def _submit_again(self, record: Record) -> None:
        if self._store.create(record.ticket.key("resubmitted.json"), b"{}"):
            with suppress(EaselError):  # a refusal is the job's outcome now
                self._submit(record)
