"""The results that SageMaker's asynchronous endpoint publishes to SNS: at least once, in any order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract import EaselError
from gateway.telemetry import Telemetry
from jobs.failures import parse_failure
from jobs.outcomes import JobReporter
from jobs.ports import Store, Ticket

_INPUT = "/request.json"
_OUTPUT_KEY = re.compile(r"async-output/[\w.-]{1,200}", re.ASCII)
"""Keys that SageMaker gives to outputs. A message cannot make the function read any other object."""


class IgnoredRecordError(Exception):
    """A record that belongs to no job. `reason` quotes nothing of it; `inference_id` is set if it is a valid one."""

    def __init__(self, reason: str, inference_id: str = "") -> None:
        super().__init__(reason)
        self.reason, self.inference_id = reason, inference_id


@dataclass(frozen=True)
class AsyncResult:
    """One message. `output_uri`: where the container's response is; None for a failure."""

    ticket: Ticket
    output_uri: str | None
    failure: str


def read_records(event: Any) -> list[Any]:
    """Return the records of an SNS event. Raises EaselError for other events."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise EaselError("expected_object", "the event is not an SNS event of an asynchronous endpoint")
    return records


def parse_record(record: Any) -> AsyncResult:
    """Return the result in a record. Raises IgnoredRecordError if it contains none of a job."""
    try:
        message = json.loads(record["Sns"]["Message"])
        request, response = message.get("requestParameters") or {}, message.get("responseParameters") or {}
        folder = _text(request, "inputLocation").removesuffix(_INPUT).split("/")
        ticket = Ticket.parse(_text(message, "inferenceId") or "-".join(folder[-2:]))
        completed = {"Completed": True, "Failed": False}[message["invocationStatus"]]
        output_uri, failure = _text(response, "outputLocation"), _text(message, "failureReason")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise IgnoredRecordError("not a message of an asynchronous endpoint") from None
    if ticket is None:
        raise IgnoredRecordError("not a job's inference id")
    return AsyncResult(ticket, output_uri if completed else None, failure)


def _text(value: dict[str, Any], name: str) -> str:
    """Return a string field; empty if missing or null. Raises TypeError for other types."""
    text = value.get(name)
    if not isinstance(text, str | None):
        raise TypeError(name)
    return text or ""


class Finalizer:
    """Ends the jobs of SNS records. `key_of` returns the store key of an `s3://` URI, or None."""

    def __init__(
        self, reporter: JobReporter, store: Store, key_of: Callable[[str], str | None], telemetry: Telemetry
    ) -> None:
        self._reporter, self._store, self._key_of, self._telemetry = reporter, store, key_of, telemetry

    def handle(self, record: Any) -> None:
        """End the job of a record. Logs and ignores records that would be wrong again on redelivery.

        Raises EaselError if the store fails.
        """
        try:
            self._end(parse_record(record))
        except IgnoredRecordError as error:
            self._telemetry.ignored(error.reason, error.inference_id)

    def _end(self, result: AsyncResult) -> None:
        ticket = result.ticket
        try:
            if result.output_uri is None:
                self._reporter.fail(ticket, parse_failure(result.failure))
            else:
                self._reporter.finish(ticket, self._output(ticket, result.output_uri))
        except EaselError as error:
            reasons = {"not_found": "no such job", "record_damaged": "the job's record is damaged"}
            if error.code not in reasons:
                raise
            raise IgnoredRecordError(reasons[error.code], ticket.inference_id) from None

    def _output(self, ticket: Ticket, uri: str) -> bytes:
        key = self._key_of(uri)
        if key is None or not _OUTPUT_KEY.fullmatch(key):
            raise IgnoredRecordError("not an output of the endpoint", ticket.inference_id)
        return self._store.read(key) or b""
