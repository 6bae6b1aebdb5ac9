"""Deliveries of events: attempts with growing pauses, recorded with the job."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import uniform

from contract import EaselError
from gateway.telemetry import Telemetry
from jobs.ports import Clock, Store, Ticket
from jobs.records import DamagedRecordError, Job, Record, in_order, read_outcome, read_record, read_start
from jobs.webhook import COMPLETED, Attempt, Delivery, State, Webhook, delivery_key, read_delivery
from webhooks.sender import Result, Sender
from webhooks.signing import SigningSecrets
from webhooks.url import UrlRules

PAUSES_SECONDS = (5, 30, 300, 1_800, 7_200, 18_000, 36_000)
"""Pauses after the failed attempts, up to a tenth longer. After the attempt that follows the last, the delivery has
failed: 8 attempts in about 18 hours. SQS can hide a message for 12 hours."""
MAX_RETRY_AFTER_SECONDS = 3_600
"""The longest pause that the other side's Retry-After can cause."""


class Deliverer:
    """Makes single attempts. `bodies`: API to its form of an event, as JSON; `native` is among them."""

    def __init__(
        self,
        *,
        store: Store,
        sender: Sender,
        rules: UrlRules,
        bodies: Mapping[str, Callable[[Job, str], str]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store, self._sender, self._rules, self._bodies = store, sender, rules, bodies
        self._clock, self._telemetry = clock, telemetry
        self._secrets = SigningSecrets(store, clock.now)

    def deliver(self, ticket: Ticket, event: str) -> float | None:
        """Attempt to deliver an event. Return the seconds until the next attempt, or None if there is none.

        Raises the store's errors. A job that was deleted, and an event that was delivered, need no attempt.
        """
        job, webhook = self._read(ticket, event)
        delivery = read_delivery(self._store, ticket, event) or Delivery()
        if job is None or webhook is None or delivery.state != "waiting":
            self._telemetry.ignored("no webhook to deliver", ticket.inference_id)
            return None
        at, began = self._clock.now(), time.monotonic()
        result = self._attempt(job, webhook, event)
        seconds = round(time.monotonic() - began, 3)
        attempt = Attempt(at=at, seconds=seconds, status=result.status, error=result.error)
        delivery = Delivery(state=_state(delivery, result), attempts=(*delivery.attempts, attempt))
        self._store.write(delivery_key(ticket, event), delivery.to_json())
        self._telemetry.webhook(ticket, event, delivery)
        return _pause(delivery, result) if delivery.state == "waiting" else None

    def _attempt(self, job: Job, webhook: Webhook, event: str) -> Result:
        try:
            target = self._rules.target(webhook.url)
        except EaselError:  # the operator has changed the rules
            return Result(error="address_not_public", final=True)
        body = self._bodies.get(webhook.api, self._bodies["native"])(job, event).encode()
        headers = self._secrets.headers(job.ticket.owner, f"msg_{job.ticket.id}_{event}", body)
        return self._sender.post(target, headers, body)

    def _read(self, ticket: Ticket, event: str) -> tuple[Job | None, Webhook | None]:
        """Return the job as it was at the event, and its webhook. None: it was deleted or is damaged."""
        try:
            record = read_record(self._store, ticket)
        except DamagedRecordError:
            return None, None
        if record is None:
            return None, None
        job = self._job(record)
        return (job if event != COMPLETED else self._ended(job)), record.webhook

    def _job(self, record: Record) -> Job:
        return Job(ticket=record.ticket, record=record, started_at=read_start(self._store, record.ticket))

    def _ended(self, job: Job) -> Job:
        outcome = read_outcome(self._store, job.ticket)
        if outcome is None:
            raise EaselError("upstream_unavailable", "the outcome of the job cannot be read yet")
        return in_order(replace(job, outcome=outcome))


def _state(before: Delivery, result: Result) -> State:
    if not result.error:
        return "delivered"
    return "failed" if result.final or len(before.attempts) >= len(PAUSES_SECONDS) else "waiting"


def _pause(delivery: Delivery, result: Result) -> float:
    pause = max(PAUSES_SECONDS[len(delivery.attempts) - 1], min(result.retry_after_s, MAX_RETRY_AFTER_SECONDS))
    return pause * uniform(1, 1.1)  # noqa: S311  # random, so that failed deliveries do not return at the same time
