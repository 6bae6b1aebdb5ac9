"""What SageMaker's asynchronous endpoint tells by SNS: success and failure, at least once, in any order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract import EaselError
from gateway.telemetry import Telemetry
from jobs.failures import read_failure
from jobs.outcomes import Finisher
from jobs.ports import Store, Ticket

_INPUT = "/request.json"
_ANSWER = re.compile(r"answers/[\w.-]{1,200}", re.ASCII)
"""What SageMaker calls an answer in the store: nothing else is read on a notice's word."""


class AsideError(Exception):
    """Why a record is left aside, in words of ours: nothing of it is quoted but an id of ours."""

    def __init__(self, reason: str, inference_id: str = "") -> None:
        super().__init__(reason)
        self.reason, self.inference_id = reason, inference_id


@dataclass(frozen=True)
class Notice:
    """One message. `answer` is the `s3://` address of the container's answer, None for a failure."""

    ticket: Ticket
    answer: str | None
    failure: str


def read_records(event: Any) -> list[Any]:
    """Those of an SNS event. Raises EaselError where it is none."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise EaselError("expected_object", "the event is no SNS event of an asynchronous endpoint")
    return records


def read_notice(record: Any) -> Notice:
    """Raises AsideError where a record is no notice of a job of ours."""
    try:
        message = json.loads(record["Sns"]["Message"])
        asked, answered = message.get("requestParameters") or {}, message.get("responseParameters") or {}
        folder = _text(asked, "inputLocation").removesuffix(_INPUT).split("/")
        ticket = Ticket.parse(_text(message, "inferenceId") or "-".join(folder[-2:]))
        completed = {"Completed": True, "Failed": False}[message["invocationStatus"]]
        answer, failure = _text(answered, "outputLocation"), _text(message, "failureReason")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise AsideError("no notice of an asynchronous endpoint") from None
    if ticket is None:
        raise AsideError("not an id of ours")
    return Notice(ticket, answer if completed else None, failure)


def _text(told: dict[str, Any], name: str) -> str:
    """Empty where it is missing or null. Raises TypeError where it is no text."""
    value = told.get(name)
    if not isinstance(value, str | None):
        raise TypeError(name)
    return value or ""


class Finalizer:
    """Ends the jobs that notices tell of. `key_of` gives the store's key of an `s3://` address, or None."""

    def __init__(
        self, finisher: Finisher, store: Store, key_of: Callable[[str], str | None], telemetry: Telemetry
    ) -> None:
        self._finisher, self._store, self._key_of, self._telemetry = finisher, store, key_of, telemetry

    def take(self, record: Any) -> None:
        """One record of an event. One that no repetition would make a notice of a job that we know is left aside."""
        try:
            self._end(read_notice(record))
        except AsideError as error:
            self._telemetry.dropped(error.reason, error.inference_id)

    def _end(self, notice: Notice) -> None:
        ticket = notice.ticket
        try:
            if notice.answer is None:
                self._finisher.fail(ticket, read_failure(notice.failure))
            else:
                self._finisher.finish(ticket, self._answer(ticket, notice.answer))
        except EaselError as error:
            if error.code != "not_found":
                raise
            raise AsideError("no such job", ticket.inference_id) from None

    def _answer(self, ticket: Ticket, uri: str) -> bytes:
        key = self._key_of(uri)
        if key is None or not _ANSWER.fullmatch(key):
            raise AsideError("its answer is none of ours", ticket.inference_id)
        return self._store.read(key) or b""
