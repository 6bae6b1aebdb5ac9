"""Logs and metrics of requests and jobs: JSON lines on stdout, metrics in CloudWatch's embedded metric format.

Prompts and keys are never logged, nor the text of unexpected exceptions, which may quote them.
"""

from __future__ import annotations

import traceback
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from contract import EaselError
from jobs.ports import Ticket
from jobs.records import Outcome, Record
from jobs.webhook import Delivery


class Telemetry:
    """Writes the log lines of `service` and the metrics of `namespace`; without a namespace no metrics.

    An instance serves one request at a time. Powertools itself reads POWERTOOLS_LOG_LEVEL.
    """

    def __init__(self, service: str = "easel", namespace: str = "Easel") -> None:
        self._service, self._namespace = service, namespace
        self._log = Logger(service=service)
        self._request: dict[str, Any] = {}

    def begin(self, request_id: str) -> None:
        """Add this request id to all log lines of this instance until the next call."""
        self._request = {"request_id": request_id}

    def accepted(self, record: Record) -> None:
        """Log a new job: the line links the request id to the job's `inference_id`."""
        self._log.info("accepted", **self._request, **_job_keys(record))

    def request(self, **fields: Any) -> None:
        """Log and count a request: method, path, status, code, cause, seconds, owner, request_id."""
        self._log.info("request", **fields)
        self._count("Requests", "status", str(fields["status"]))
        if fields["code"]:
            self._count("Errors", "code", fields["code"])

    def ended(self, record: Record, outcome: Outcome) -> None:
        """Log and count a job that ended."""
        code = outcome.error["code"] if outcome.error else None
        seconds = max(0.0, outcome.completed_at - record.created_at)
        self._log.info(
            "job",
            **self._request,
            **_job_keys(record),
            status=outcome.status,
            code=code,
            seconds=round(seconds, 3),
            images=len(outcome.images),
        )
        self._metric("JobSeconds", MetricUnit.Seconds, seconds, status=outcome.status)
        if record.model:
            self._metric("JobSeconds", MetricUnit.Seconds, seconds, model=record.model)
        if code:
            self._count("JobErrors", "code", code)
            if record.model:
                self._metric("JobErrors", MetricUnit.Count, 1, code=code, model=record.model)

    def webhook(self, ticket: Ticket, event: str, delivery: Delivery) -> None:
        """Log and count an attempt to deliver an event. The URL may contain a secret and is not logged."""
        attempt = delivery.attempts[-1]
        self._log.info(
            "webhook",
            **_ticket_keys(ticket),
            event=event,
            attempt=len(delivery.attempts),
            status=attempt.status,
            error=attempt.error,
            seconds=attempt.seconds,
            state=delivery.state,
        )
        self._count("Webhooks", "state", delivery.state)

    def unqueued(self, ticket: Ticket, error: EaselError) -> None:
        """Log and count that an event of a job could not be queued for its webhook."""
        self._log.error("unqueued", **self._request, **_ticket_keys(ticket), code=error.code)
        self._count("Errors", "code", error.code)

    def ignored(self, reason: str, inference_id: str = "") -> None:
        """Log an event that belongs to no job."""
        self._log.warning("ignored", reason=reason, inference_id=inference_id)

    def crashed(self, error: BaseException, request_id: str = "") -> None:
        """Log an unexpected exception: its type and traceback, without its text."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
        self._log.error("crashed", error=type(error).__name__, where=where, request_id=request_id)

    def _count(self, name: str, dimension: str, value: str) -> None:
        self._metric(name, MetricUnit.Count, 1, **{dimension: value})

    def _metric(self, name: str, unit: MetricUnit, value: float, **dimensions: str) -> None:
        if not self._namespace:
            return
        service = {"service": self._service}
        with single_metric(name, unit, value, namespace=self._namespace, default_dimensions=service) as metric:
            for dimension, dimension_value in dimensions.items():
                metric.add_dimension(dimension, dimension_value)


def _job_keys(record: Record) -> dict[str, Any]:
    return {**_ticket_keys(record.ticket), "model": record.model}


def _ticket_keys(ticket: Ticket) -> dict[str, Any]:
    """Return the log keys of a job. SageMaker and the container know it by `inference_id`."""
    return {"job": ticket.id, "owner": ticket.owner, "inference_id": ticket.inference_id}
