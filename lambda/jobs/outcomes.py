"""How jobs end: pictures become files, and the first outcome stands."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from random import uniform

from contract import OUTPUT_FORMATS, EaselError, GenerationResult, dumps, parse_answer
from jobs.ports import Clock, Predictor, Store, Ticket
from jobs.records import Outcome, Picture, Record

_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff"}


def ignore(record: Record, outcome: Outcome) -> None:
    """Nobody wants to hear how jobs end."""


_TRIES = 3
_UNTOUCHED = ("throttled", "upstream_unavailable", "model_loading", "model_busy")
"""Refusals after which nothing is being drawn: the call may be made again."""
STRIKES = 2
"""A job on which the model died so often is given up."""


class Finisher:
    """What whoever draws a job tells. `on_end` hears of every outcome once."""

    def __init__(self, *, store: Store, clock: Clock, on_end: Callable[[Record, Outcome], None] = ignore) -> None:
        self._store, self._clock, self._on_end = store, clock, on_end

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

    def _record(self, ticket: Ticket) -> Record:
        body = self._store.read(ticket.key("job.json"))
        if body is None:
            raise EaselError("not_found", "there is no such job")
        return Record.from_json(body)

    def _outcome(self, ticket: Ticket) -> Outcome | None:
        body = self._store.read(ticket.key("outcome.json"))
        return Outcome.from_json(body) if body else None

    def _unpack(self, record: Record, answer: bytes) -> Outcome:
        try:
            result = parse_answer(answer)
        except RecursionError:
            raise EaselError("model_bad_response", "the model's answer is nested too deep") from None
        if result.seeds != record.request.seeds():
            raise EaselError("model_bad_response", "the model answered with other seeds than it was asked for")
        _check_facts(result)
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


def draw(ticket: Ticket, finisher: Finisher, predictor: Predictor, clock: Clock) -> None:
    """Draws one job from start to end, unless it was cancelled or somebody else draws it."""
    body = finisher.start(ticket)
    if body is None:
        return
    try:
        answer = _predict(ticket, body, predictor, clock)
    except EaselError as error:
        finisher.fail(ticket, error)
    else:
        finisher.finish(ticket, answer)


def _predict(ticket: Ticket, body: bytes, predictor: Predictor, clock: Clock) -> bytes:
    deaths = 0
    for _ in range(_TRIES - 1):
        try:
            return predictor.predict(ticket, body)
        except EaselError as error:
            died = error.code == "container_died"
            deaths += died
            if error.code not in _UNTOUCHED and not (died and deaths < STRIKES):
                raise
        clock.sleep(uniform(1, 5))  # noqa: S311  # so that refused runners do not come back together
    return predictor.predict(ticket, body)


def _decode(image: str, output_format: str) -> bytes:
    try:
        body = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        body = b""
    if not body.startswith(_MAGIC[output_format]):
        raise EaselError("model_bad_response", f"the model sent a picture that is no {output_format}")
    return body


def _check_facts(result: GenerationResult) -> None:
    """Refuses what could be written down here but not told to a caller later."""
    numbers = all(type(seconds) in (int, float) and 0 <= seconds < 1e9 for seconds in result.timings.values())
    texts = all(type(warning) is str for warning in result.warnings)
    try:
        dumps([result.parameters, result.timings, result.warnings]).encode()
    except ValueError:
        numbers = False
    if not (numbers and texts):
        raise EaselError("model_bad_response", "the model's answer holds what is no JSON, or of the wrong type")
