"""The life of a job: accepted, submitted, ended. All state is in the store.

Every end is a conditional write of `outcome.json`: success, failure, cancellation and expiry may arrive twice, late or
at the same time, and the first is final. Reading a job also repairs it: it takes in a response that lies in the store,
submits a job whose creator died before it could, and ends a job that waited too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain, repeat

from contract import EaselError, GenerationRequest, dumps, render_request, sent_images, with_images, without_image
from jobs.accounting import Accounting, Usage
from jobs.clock import elapsed, end_time
from jobs.endpoints import Endpoints, removed
from jobs.failures import parse_failure
from jobs.outcomes import JobReporter
from jobs.ports import Clock, Endpoint, Progress, Store, Submission, Ticket
from jobs.records import (
    DamagedRecordError,
    Job,
    Outcome,
    Record,
    in_order,
    new_ticket,
    read_claim,
    read_record,
    read_start,
    read_submission,
)
from jobs.retries import Retries
from jobs.webhook import COMPLETED, Webhook, read_delivery

SUBMIT_GRACE_S = 60
"""A job that is older and not submitted has lost its creator: functions that create jobs time out earlier."""

_IMAGE_KEYS = {
    "init_image": "init-image",
    "mask_image": "mask-image",
    "images": "input-images",
    "control": "control-images",
}
"""Field of a request to the name in the store of its images: base64, a line each."""
_SETTLED_AT_ONCE = 20
"""The most jobs without a settled reservation that one request looks at."""

ANNOUNCE_GRACE_S = 60
"""A job that ended earlier, and whose end is not queued for its webhook, has lost the process that ended it."""

_SUBMISSIONS = 1000
"""The most submissions that are remembered."""

_CLAIM_TRIES = 3
"""Attempts to claim an idempotency key that another request frees at the same time."""

_MAYBE_QUEUED = ("upstream_closed", "upstream_truncated", "model_timeout")
"""Errors of `Endpoint.submit` after which the job may be queued nevertheless."""


def link(store: Store, ticket: Ticket, name: str) -> str:
    """Return a URL of an image file that works for 15 minutes."""
    return store.link(ticket.key(name), 900)


class Jobs:
    """The operations that APIs offer on jobs.

    `endpoints`: by model id; the first is the default. `ttl_s`: seconds after which a job without an outcome fails with
    `job_expired`. `pauses`: seconds between two reads of `wait`, the last repeated. `on_accept`: called for each new
    job. `accounting`: counts what callers use; its `on_end` is called by the reporter.
    """

    def __init__(
        self,
        *,
        store: Store,
        reporter: JobReporter,
        endpoints: Mapping[str, Endpoint],
        accounting: Accounting,
        clock: Clock,
        ttl_s: float,
        pauses: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
        on_accept: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.endpoints, self.retries, self.store = Endpoints(endpoints), Retries(store, clock), store
        self._store, self._reporter, self._clock, self._on_accept = store, reporter, clock, on_accept
        self._accounting, self._ttl_s, self._pauses = accounting, ttl_s, pauses
        self._submissions: dict[Ticket, Submission] = {}

    # --- operations ------------------------------------------------------------------------------

    def accept(
        self,
        owner: str,
        request: GenerationRequest,
        key: str = "",
        digest: str = "",
        webhook: Webhook | None = None,
        warnings: Sequence[str] = (),
    ) -> Record:
        """Create and submit a job, or return the job that the same idempotency `key` created earlier.

        `digest` is the hash of the request as sent. Raises `idempotency_mismatch` if the key came with another digest,
        `quota_exceeded`, and the endpoint's error if it did not accept the job.
        """
        now = self._clock.now()
        record = Record(
            ticket=new_ticket(owner, self._clock.arrival()),
            created_at=now,
            steady_at=self._clock.steady(),
            request=without_image(request),
            model=request.model or self.endpoints.default_model,
            webhook=webhook,
            warnings=tuple(warnings),
        )
        claim = f"idempotency/{owner}/{sha256(key.encode()).hexdigest()}.json" if key else ""
        if claim:
            ticket = self._claim(claim, record.ticket, digest)
            if ticket != record.ticket and (earlier := read_record(self._store, ticket)):
                return earlier
            record = replace(record, ticket=ticket)
        if not self._create(record, request, claim):
            return self._reporter.record(record.ticket)
        self._on_accept(record)
        self._submit(record, claim)
        return record

    def get(self, ticket: Ticket) -> Job:
        """Return the job; one with a damaged record has failed. Raises `not_found`."""
        try:
            return self._read(self._reporter.record(ticket))
        except DamagedRecordError as error:
            return self._damaged_job(ticket, error)

    def wait(self, record: Record, until: float) -> Job:
        """Return the job when it has ended, or its state at `until` (on the steady clock)."""
        pauses: Iterator[float] = chain(self._pauses, repeat(self._pauses[-1]))
        while True:
            job = self._try_read(record)
            remaining = until - self._clock.steady()
            if job.outcome or remaining <= 0:
                return job
            self._clock.sleep(min(next(pauses), remaining))

    def recent(self, owner: str, limit: int) -> list[Job]:
        """Return the owner's newest jobs, newest first. Those that cannot be read are listed as failed."""
        names = self._store.list(f"jobs/{owner}/", limit)
        tickets = [ticket for name in names if (ticket := Ticket.parse(f"{owner}-{name}"))]
        with ThreadPoolExecutor(8) as pool:
            return [job for job in pool.map(self._find, tickets) if job]

    def cancel(self, ticket: Ticket) -> Job:
        """End a job, or close one with a damaged record. A running job is stopped if the endpoint can do that.

        Raises `job_running` or `job_finished`.
        """
        job = self.get(ticket)
        if job.record is None or (job.outcome and job.outcome.is_damaged):
            return self._close(job)
        if not job.outcome and job.started_at and not self.endpoints.default.stops_jobs:
            raise EaselError("job_running", "the image is being generated", hint="Wait until the job ends.")
        outcome = job.outcome or self._reporter.end(
            job.record, Outcome(status="cancelled", completed_at=end_time(self._clock, job.record))
        )
        if outcome.status != "cancelled":
            raise EaselError("job_finished", f"the job has {outcome.status}")
        self.endpoints.of(job.model).stop(ticket)
        self._delete_input(ticket)
        return replace(job, outcome=outcome)

    def progress(self, job: Job) -> Progress | None:
        """Return the progress of a running job, or None if it does not run or is unknown. Never raises."""
        return self.endpoints.of(job.model).progress(job.ticket)

    def usage(self, owner: str) -> Usage:
        """Return what the owner has used."""
        self._settle_ended(owner)
        return self._accounting.usage(owner)

    def image(self, ticket: Ticket, name: str) -> bytes:
        """Return an image file. Raises `not_found` if it was deleted."""
        body = self._store.read(ticket.key(name))
        if body is None:
            raise EaselError("not_found", "the image was deleted", hint="Send the request again.")
        return body

    def link(self, ticket: Ticket, name: str) -> str:
        """Return a URL of an image file that works for 15 minutes."""
        return link(self._store, ticket, name)

    # --- inside ----------------------------------------------------------------------------------

    def _find(self, ticket: Ticket) -> Job | None:
        try:
            return self.get(ticket)
        except EaselError as error:
            if error.kind.retryable:
                raise
            if error.code == "not_found":
                return None
            return Job(ticket=ticket, record=None, outcome=Outcome.failed(error, ticket.created_at))

    def _create(self, record: Record, request: GenerationRequest, claim: str) -> bool:
        """Reserve for the job and create its record. Return False if another request with its key has created it."""
        ticket = record.ticket
        try:
            reserved = self._reserve(ticket, request.image_count)
        except EaselError:
            if claim:
                self._store.delete(claim)
            raise
        for name, images in sent_images(request).items():
            self._store.create(ticket.key(_IMAGE_KEYS[name]), "\n".join(images).encode())
        created = self._store.create(ticket.key("job.json"), record.to_json())
        if reserved and not created and self._reporter.outcome(ticket):
            self._accounting.settle(ticket, None)  # the job had been settled before it was reserved for again
        return created

    def _reserve(self, ticket: Ticket, images: int) -> bool:
        """Reserve, if need be after settling jobs whose process died before it could."""
        try:
            return self._accounting.reserve(ticket, images)
        except EaselError as error:
            if error.code != "quota_exceeded" or not self._settle_ended(ticket.owner):
                raise
        return self._accounting.reserve(ticket, images)

    def _settle_ended(self, owner: str) -> bool:
        """Settle the oldest jobs that have ended, or were never created. Return whether there was one."""
        grace = self._clock.now() - SUBMIT_GRACE_S
        tickets = [ticket for ticket in self._accounting.open(owner) if ticket.created_at < grace]
        with ThreadPoolExecutor(8) as pool:
            return any(list(pool.map(self._settle, tickets[:_SETTLED_AT_ONCE])))

    def _settle(self, ticket: Ticket) -> bool:
        try:
            job = self.get(ticket)
        except EaselError as error:
            if error.code != "not_found":
                raise
            return self._accounting.settle(ticket, None)
        if job.outcome:
            self._accounting.settle(ticket, job.outcome, job.model)
        return job.outcome is not None

    def _damaged_job(self, ticket: Ticket, error: EaselError) -> Job:
        """Return a job whose `job.json` is damaged: failed, unless it was cancelled."""
        outcome = self._reporter.outcome(ticket)
        if not outcome or outcome.status != "cancelled":
            outcome = Outcome.failed(error, ticket.created_at)
        return Job(ticket=ticket, record=None, outcome=outcome)

    def _close(self, job: Job) -> Job:
        """Cancel a job with a damaged record. Its outcome is replaced, because nothing else can end it."""
        outcome = Outcome(status="cancelled", completed_at=job.created_at)
        self._store.write(job.ticket.key("outcome.json"), outcome.to_json())
        self._delete_input(job.ticket)
        return replace(job, outcome=outcome)

    def _delete_input(self, ticket: Ticket) -> None:
        for name in ("request.json", *_IMAGE_KEYS.values()):
            self._store.delete(ticket.key(name))

    def _claim(self, claim: str, ticket: Ticket, digest: str) -> Ticket:
        for _ in range(_CLAIM_TRIES):
            if self._store.create(claim, dumps({"job": ticket.id, "request": digest}).encode()):
                return ticket
            if first := read_claim(self._store, claim):
                break
        else:
            raise EaselError("upstream_unavailable", "the store is busy", hint="Send the request again.")
        if first.request != digest:
            message, hint = "this Idempotency-Key belongs to another request", "Send a new key with a new request."
            raise EaselError("idempotency_mismatch", message, hint=hint)
        return Ticket(ticket.owner, first.job)

    def _submit(self, record: Record, claim: str = "") -> None:
        ticket = record.ticket
        try:
            self._store.write(ticket.key("request.json"), render_request(self._with_images(record)).encode())
            submission = self.endpoints.of(record.model).submit(ticket)
        except EaselError as error:
            if error.code not in _MAYBE_QUEUED:
                self._reporter.end(record, Outcome.failed(error, end_time(self._clock, record)))
                if claim:
                    self._store.delete(claim)
            raise
        self._store.write(ticket.key("submitted.json"), dumps(asdict(submission)).encode())
        self._remember(ticket, submission)

    def _with_images(self, record: Record) -> GenerationRequest:
        """Return the request with its images. Raises `input_missing` if one was deleted."""
        found = {}
        for name, hashes in sent_images(record.request).items():
            stored = self._store.read(record.ticket.key(_IMAGE_KEYS[name])) or b""
            images = stored.decode(errors="replace").split("\n")
            if len(images) != len(hashes) or not all(images):
                raise EaselError("input_missing", f"the {name} was deleted", hint="Send the request again.")
            found[name] = images
        return with_images(record.request, found)

    def _read(self, record: Record) -> Job:
        ticket = record.ticket
        reports_start = self.endpoints.of(record.model).reports_start
        job = Job(ticket=ticket, record=record, started_at=read_start(self._store, ticket) if reports_start else None)
        job = in_order(replace(job, outcome=self._reporter.outcome(ticket) or self._repair(record, job.started_at)))
        return self._with_deliveries(job, record.webhook) if record.webhook else job

    def _with_deliveries(self, job: Job, webhook: Webhook) -> Job:
        """Return the job with its deliveries. Announces an end whose process has died."""
        found = {event: read_delivery(self._store, job.ticket, event) for event in webhook.events}
        deliveries = {event: delivery for event, delivery in found.items() if delivery}
        missing = COMPLETED in webhook.events and COMPLETED not in deliveries
        if missing and job.outcome and self._clock.now() > job.outcome.completed_at + ANNOUNCE_GRACE_S:
            self._reporter.announce(job.ticket, COMPLETED)
        return replace(job, deliveries=deliveries)

    def _try_read(self, record: Record) -> Job:
        try:
            return self._read(record)
        except EaselError as error:
            if not error.kind.retryable:
                raise
            return Job(ticket=record.ticket, record=record)

    def _repair(self, record: Record, started_at: float | None) -> Outcome | None:
        ticket, age = record.ticket, elapsed(self._clock, record)
        submission = self._submission(ticket)
        outcome = self._collect(ticket, submission) if submission else None
        if outcome:
            return outcome
        if not self.endpoints.has(record.model):
            return self._reporter.fail(ticket, removed(record.model))
        if age > self._ttl_s and not self.endpoints.of(record.model).progress(ticket):
            error = EaselError("job_expired", f"the job did not end within {self._ttl_s:.0f} seconds")
            return self._reporter.fail(ticket, error)
        if not submission and not started_at and age > SUBMIT_GRACE_S:
            self._submit_again(record)
        return None

    def _submission(self, ticket: Ticket) -> Submission | None:
        """Return where the response will be. It is written once, and every poll needs it."""
        if known := self._submissions.get(ticket):
            return known
        if found := read_submission(self._store, ticket):
            self._remember(ticket, found)
        return found

    def _remember(self, ticket: Ticket, submission: Submission) -> None:
        if len(self._submissions) >= _SUBMISSIONS:
            self._submissions.clear()
        self._submissions[ticket] = submission

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
