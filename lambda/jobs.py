"""The life of a job: accepted once, submitted, finished once. All of it is in the store.

Every end is a conditional write of `outcome.json`, so that success, failure, cancellation and expiry may come twice,
late or at the same moment: the first one stands. Whoever looks at a job also tends it: takes in an answer that nobody
told of, submits a job whose creator died before it could, and ends one that waited too long.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain, repeat

from contract import OUTPUT_FORMATS, EaselError, GenerationRequest, dumps, parse_answer, render_request
from failures import read_failure
from ports import Clock, Endpoint, Store, Submission, Ticket
from records import Job, Outcome, Picture, Record, new_ticket

SUBMIT_GRACE_S = 60
"""A job that is older and not submitted has lost its creator: no function that creates one lives so long."""

_UNSURE = ("upstream_closed", "upstream_truncated", "model_timeout")
"""Failures of `Endpoint.submit` after which the job may be queued all the same."""

_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


def _ignore(record: Record, outcome: Outcome) -> None:
    """Nobody wants to hear how jobs end."""


class Jobs:
    """`ttl_s`: a job without an outcome after so many seconds is `job_expired`. `pauses`: seconds between two looks of
    `wait`, the last one repeated. `on_end` hears of every outcome once."""

    def __init__(
        self,
        *,
        store: Store,
        endpoint: Endpoint,
        clock: Clock,
        ttl_s: float,
        pauses: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
        on_end: Callable[[Record, Outcome], None] = _ignore,
    ) -> None:
        self._store, self.endpoint, self._clock = store, endpoint, clock
        self._ttl_s, self._pauses, self._on_end = ttl_s, pauses, on_end

    # --- what a caller may ask -------------------------------------------------------------------

    def accept(self, owner: str, request: GenerationRequest, key: str = "", digest: str = "") -> Record:
        """Creates and submits a job. With an idempotency `key`, the job that the key made first; `digest` is the hash
        of the request as it was sent.

        Raises `idempotency_mismatch`, or why the endpoint did not take the job.
        """
        now = self._clock.now()
        record = Record(ticket=new_ticket(owner, now), created_at=now, request=request)
        claim = f"idempotency/{owner}/{sha256(key.encode()).hexdigest()}.json" if key else ""
        if claim:
            record = replace(record, ticket=self._claim(claim, record.ticket, digest))
        if not self._store.create(record.ticket.key("job.json"), record.to_json()):
            return self._record(record.ticket)
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
        self._store.delete(ticket.key("request.json"))
        return replace(job, outcome=outcome)

    def picture(self, ticket: Ticket, name: str) -> bytes:
        """Raises `not_found` where it was deleted."""
        body = self._store.read(ticket.key(name))
        if body is None:
            raise EaselError("not_found", "the picture is no longer kept")
        return body

    def link(self, ticket: Ticket, name: str) -> str:
        return self._store.link(ticket.key(name), 900)

    # --- what whoever draws a job tells ----------------------------------------------------------

    def start(self, ticket: Ticket) -> bytes | None:
        """The container's input, or None where the job has started already, was cancelled or has ended.

        Whoever knows that a started job died removes its `started.json` to start it again.
        """
        started = dumps({"started_at": self._clock.now()}).encode()
        if not self._store.create(ticket.key("started.json"), started) or self._outcome(ticket):
            return None
        return self._store.read(ticket.key("request.json"))

    def finish(self, ticket: Ticket, answer: bytes) -> Outcome:
        """Takes in the container's answer; gives the outcome that stands, which may be an earlier one."""
        past = self._outcome(ticket)
        if past:
            return past
        record = self._record(ticket)
        try:
            outcome = self._unpack(record, answer)
        except EaselError as error:
            outcome = Outcome.failed(error, self._clock.now())
        return self._end(record, outcome)

    def fail(self, ticket: Ticket, error: EaselError) -> Outcome:
        """Ends a job whose answer will not come; gives the outcome that stands, which may be an earlier one."""
        return self._end(self._record(ticket), Outcome.failed(error, self._clock.now()))

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
        self._store.write(ticket.key("request.json"), render_request(record.request).encode())
        try:
            submission = self.endpoint.submit(ticket)
        except EaselError as error:
            if error.code not in _UNSURE:
                self._end(record, Outcome.failed(error, self._clock.now()))
                if claim:
                    self._store.delete(claim)
            raise
        self._store.write(ticket.key("submitted.json"), dumps(asdict(submission)).encode())

    def _record(self, ticket: Ticket) -> Record:
        body = self._store.read(ticket.key("job.json"))
        if body is None:
            raise EaselError("not_found", "there is no such job")
        return Record.from_json(body)

    def _outcome(self, ticket: Ticket) -> Outcome | None:
        body = self._store.read(ticket.key("outcome.json"))
        return Outcome.from_json(body) if body else None

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

    def _unpack(self, record: Record, answer: bytes) -> Outcome:
        result = parse_answer(answer)
        if result.seeds != record.request.seeds():
            raise EaselError("model_bad_response", "the model answered with other seeds than it was asked for")
        images = [_decode(image, record.request.output_format) for image in result.generated_images]
        pictures = []
        for i, image in enumerate(images):
            name = f"image-{i}.{record.request.output_format}"
            self._store.write(record.ticket.key(name), image, OUTPUT_FORMATS[record.request.output_format])
            pictures.append(Picture(name=name, seed=result.seeds[i], size=len(image)))
        now = self._clock.now()
        return Outcome(
            status="succeeded",
            completed_at=now,
            images=tuple(pictures),
            parameters=result.parameters,
            timings={**result.timings, "job_s": round(now - record.created_at, 3)},
            warnings=result.warnings,
        )

    def _end(self, record: Record, outcome: Outcome) -> Outcome:
        if self._store.create(record.ticket.key("outcome.json"), outcome.to_json()):
            self._on_end(record, outcome)
            return outcome
        return self._outcome(record.ticket) or outcome


def _decode(image: str, output_format: str) -> bytes:
    try:
        body = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        body = b""
    if not body.startswith(_MAGIC[output_format]):
        raise EaselError("model_bad_response", f"the model sent a picture that is no {output_format}")
    return body
