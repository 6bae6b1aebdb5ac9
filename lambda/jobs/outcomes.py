"""Start and end of a job: the response becomes image files, and the first outcome is final."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from contextlib import suppress

from contract import OUTPUT_FORMATS, EaselError, GenerationResult, dumps, parse_response
from jobs.clock import elapsed, end_time
from jobs.ports import Clock, Store, Ticket
from jobs.records import DamagedRecordError, Image, Outcome, Record, read_outcome, read_record
from jobs.webhook import COMPLETED, START, Announce

_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}
"""First bytes of the files, by output format."""


def _ignore(record: Record, outcome: Outcome) -> None:
    """Default of `on_end`."""


def announce_nothing(ticket: Ticket, event: str) -> None:
    """Default of `announce`."""


class JobReporter:
    """Records in the store that a job started, succeeded or failed. `on_end` is called once for each job that ends.

    `announce` is called when a job has started and when it has ended, and again with each later attempt to end it.
    All methods raise the store's errors, `not_found` if there is no such job, and `record_damaged`.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        on_end: Callable[[Record, Outcome], None] = _ignore,
        announce: Announce = announce_nothing,
    ) -> None:
        self._store, self._clock, self._on_end, self.announce = store, clock, on_end, announce

    def start(self, ticket: Ticket) -> bytes | None:
        """Return the input for the container, or None if the job has already started or ended.

        A job whose input is missing or damaged fails. To start a job again after its worker died, delete its
        `started.json`.
        """
        started = dumps({"started_at": self._clock.now()}).encode()
        if not self._store.create(ticket.key("started.json"), started) or self.outcome(ticket):
            return None
        body = self._store.read(ticket.key("request.json"))
        if not _is_object(body):
            hint = "Send the request again."
            self.fail(ticket, EaselError("input_missing", "the stored request is missing or damaged", hint=hint))
            return None
        with suppress(EaselError):  # the job runs, whether or not somebody hears of it
            self.announce(ticket, START)
        return body

    def is_open(self, ticket: Ticket) -> bool:
        """Return whether the job can still end: its record can be read, and it has no outcome."""
        try:
            return read_record(self._store, ticket) is not None and self.outcome(ticket) is None
        except DamagedRecordError:
            return False

    def finish(self, ticket: Ticket, response: bytes) -> Outcome:
        """Store the images of the container's response. Return the final outcome, which may be an earlier one."""
        earlier = self.outcome(ticket)
        if earlier:
            self.announce(ticket, COMPLETED)
            return earlier
        record = self.record(ticket)
        try:
            outcome = self._store_images(record, response)
        except EaselError as error:
            outcome = Outcome.failed(error, end_time(self._clock, record))
        return self.end(record, outcome)

    def fail(self, ticket: Ticket, error: EaselError) -> Outcome:
        """End a job for which no response will come. Return the final outcome, which may be an earlier one."""
        record = self.record(ticket)
        return self.end(record, Outcome.failed(error, end_time(self._clock, record)))

    def end(self, record: Record, outcome: Outcome) -> Outcome:
        """Write the outcome if the job has none. Return the final outcome, which may be an earlier one."""
        if self._store.create(record.ticket.key("outcome.json"), outcome.to_json()):
            self._on_end(record, outcome)
        else:
            outcome = self.outcome(record.ticket) or outcome
        self.announce(record.ticket, COMPLETED)
        return outcome

    def record(self, ticket: Ticket) -> Record:
        """Return the record of a job. Raises `not_found` or `record_damaged`."""
        record = read_record(self._store, ticket)
        if record is None:
            raise EaselError("not_found", "there is no such job", hint="GET /jobs lists the newest jobs.")
        return record

    def outcome(self, ticket: Ticket) -> Outcome | None:
        """Return the outcome, or None if the job has not ended."""
        return read_outcome(self._store, ticket)

    def _store_images(self, record: Record, response: bytes) -> Outcome:
        result, output_format = _parse(record, response), record.request.output_format
        files = [_decode(image, output_format) for image in result.generated_images]
        images = []
        for i, file in enumerate(files):
            name = f"image-{i}.{output_format}"
            self._store.write(record.ticket.key(name), file, OUTPUT_FORMATS[output_format])
            flagged = bool(result.flagged and result.flagged[i])
            images.append(Image(name=name, seed=result.seeds[i], size=len(file), flagged=flagged))
        return Outcome(
            status="succeeded",
            completed_at=end_time(self._clock, record),
            images=tuple(images),
            parameters=result.parameters,
            timings={**result.timings, "job_s": round(elapsed(self._clock, record), 3)},
            warnings=result.warnings,
            origin=result.origin,
        )


def _is_object(body: bytes | None) -> bool:
    """Return whether a stored request is a JSON object."""
    try:
        return isinstance(json.loads(body or b""), dict)
    except (ValueError, RecursionError):
        return False


def _parse(record: Record, response: bytes) -> GenerationResult:
    """Return the result in a response. Raises the EaselError in it, or `model_bad_response`."""
    try:
        result = parse_response(response)
    except RecursionError:
        raise EaselError("model_bad_response", "the model's response is nested too deeply") from None
    if result.seeds != record.request.seeds():
        raise EaselError("model_bad_response", "the model used other seeds than the request's")
    _check_json(result)
    return result


def _decode(image: str, output_format: str) -> bytes:
    try:
        file = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        file = b""
    if not file.startswith(_MAGIC[output_format]):
        raise EaselError("model_bad_response", f"the model sent an image that is not {output_format}")
    return file


def _check_json(result: GenerationResult) -> None:
    """Raise `model_bad_response` for values that Python accepts but a JSON response to a client cannot contain."""
    numbers = all(type(seconds) in (int, float) and 0 <= seconds < 1e9 for seconds in result.timings.values())
    texts = all(type(warning) is str for warning in result.warnings)
    try:
        dumps([result.parameters, result.timings, result.warnings, result.origin]).encode()
    except ValueError:
        numbers = False
    if not (numbers and texts):
        raise EaselError("model_bad_response", "the model's response contains invalid JSON or values of the wrong type")
