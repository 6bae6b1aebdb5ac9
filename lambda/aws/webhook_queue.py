"""The queue of webhooks in SQS, and the function's batches of it.

A failed attempt hides its message until the next one is due. After `maxReceiveCount` receives, which are more than a
delivery has attempts, SQS moves a message to the dead-letter queue: the function could not handle it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from botocore.config import Config

from aws.clients import create_client
from aws.errors import client_config, translated
from contract import EaselError, dumps
from gateway.telemetry import Telemetry
from jobs.ports import Ticket

_TRIES = 3
"""Attempts of a call. A message that is sent twice is delivered once."""

Deliver = Callable[[Ticket, str], float | None]
"""Attempts to deliver an event. Returns the seconds until the next attempt, or None if there is none."""


class SqsQueue:
    """Implements `jobs.ports.WebhookQueue`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _sqs(self) -> Any:
        return create_client("sqs", client_config(5).merge(Config(retries={"total_max_attempts": _TRIES})))

    def put(self, ticket: Ticket, event: str) -> None:
        body = dumps({"owner": ticket.owner, "id": ticket.id, "event": event})
        with translated():
            self._sqs.send_message(QueueUrl=self._url, MessageBody=body)

    def hide(self, receipt: str, seconds: float) -> None:
        """Hide a message that was received for some seconds from now."""
        with translated():
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=int(seconds)
            )


class BatchHandler:
    """Delivers the messages of a batch side by side. Each stays in the queue until it needs no further attempt."""

    def __init__(self, queue: SqsQueue, deliver: Deliver, telemetry: Telemetry) -> None:
        self._queue, self._deliver, self._telemetry = queue, deliver, telemetry

    def handle(self, event: Any) -> dict[str, Any]:
        """Return the messages that stay. Raises EaselError for an event that is not of SQS."""
        records = event.get("Records") if isinstance(event, dict) else None
        if not isinstance(records, list) or not records:
            raise EaselError("expected_object", "the event is not an SQS event")
        with ThreadPoolExecutor(len(records)) as pool:
            kept = list(pool.map(self._is_kept, records))
        ids = [record["messageId"] for record, stays in zip(records, kept, strict=True) if stays]
        return {"batchItemFailures": [{"itemIdentifier": id} for id in ids]}

    def _is_kept(self, record: Any) -> bool:
        """Attempt a delivery. Return whether the message stays in the queue."""
        try:
            message = _parse(record)
            if message is None:
                self._telemetry.ignored("not an event of a job")
                return False
            pause = self._deliver(*message)
            if pause is not None:
                self._queue.hide(record["receiptHandle"], pause)
            return pause is not None
        except Exception as error:  # it returns after the queue's visibility timeout
            self._telemetry.crashed(error)
            return True


def _parse(record: Any) -> tuple[Ticket, str] | None:
    try:
        body = json.loads(record["body"])
        ticket, event = Ticket.parse(f"{body['owner']}-{body['id']}"), body["event"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return (ticket, event) if ticket and isinstance(event, str) else None
