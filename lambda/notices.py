"""What SageMaker's asynchronous endpoint tells by SNS: success and failure, at least once, in any order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from contract import EaselError
from failures import read_failure
from finishing import Finisher
from ports import Store, Ticket
from telemetry import Telemetry

_INPUT = "/request.json"


@dataclass(frozen=True)
class Notice:
    """One message. `answer` is the `s3://` address of the container's answer, None for a failure."""

    inference_id: str
    answer: str | None
    failure: str


def read_notices(event: Any) -> Iterator[Notice]:
    """The messages of an SNS event. Raises EaselError where it is none."""
    try:
        messages = [json.loads(record["Sns"]["Message"]) for record in event["Records"]]
        yield from [_notice(message) for message in messages]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise EaselError("expected_object", "the event is no SNS event of an asynchronous endpoint") from None


def _notice(message: dict[str, Any]) -> Notice:
    asked, answered = message.get("requestParameters") or {}, message.get("responseParameters") or {}
    folder = str(asked.get("inputLocation", "")).removesuffix(_INPUT).split("/")
    inference_id = message.get("inferenceId") or "-".join(folder[-2:])
    if message["invocationStatus"] == "Completed":
        return Notice(inference_id, str(answered.get("outputLocation", "")), "")
    return Notice(inference_id, None, str(message.get("failureReason", "")))


class Finalizer:
    """Ends the jobs that notices tell of. `key_of` gives the store's key of an `s3://` address, or None."""

    def __init__(
        self, finisher: Finisher, store: Store, key_of: Callable[[str], str | None], telemetry: Telemetry
    ) -> None:
        self._finisher, self._store, self._key_of, self._telemetry = finisher, store, key_of, telemetry

    def take(self, notice: Notice) -> None:
        """Notices of jobs that nobody knows are dropped: their folder was deleted, or they are not ours."""
        ticket = Ticket.parse(notice.inference_id)
        if ticket is None:
            return self._telemetry.dropped("not an id of ours")
        try:
            self._end(ticket, notice)
        except EaselError as error:
            if error.code != "not_found":
                raise
            self._telemetry.dropped("no such job", notice.inference_id)

    def _end(self, ticket: Ticket, notice: Notice) -> None:
        if notice.answer is None:
            self._finisher.fail(ticket, read_failure(notice.failure))
        else:
            key = self._key_of(notice.answer)
            self._finisher.finish(ticket, (self._store.read(key) if key else None) or b"")
