"""What is told of requests and jobs: one JSON line each and metrics in CloudWatch's embedded format, both on stdout.

Never told: prompts, keys, and the text of unexpected exceptions, which may quote either.
"""

from __future__ import annotations

import traceback
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from jobs.records import Outcome, Record


class Telemetry:
    """`service` names the log's lines, `namespace` the metrics; without a namespace no metrics are written.

    An instance serves one request at a time. Powertools reads POWERTOOLS_LOG_LEVEL.
    """

    def __init__(self, service: str = "easel", namespace: str = "Easel") -> None:
        self._service, self._namespace = service, namespace
        self._log = Logger(service=service)
        self._request: dict[str, Any] = {}

    def begin(self, request_id: str) -> None:
        """All lines until the next request carry the gateway's id of this one."""
        self._request = {"request_id": request_id}

    def accepted(self, record: Record) -> None:
        """One job that was made: joins the gateway's id with the `inference_id` of what follows."""
        self._log.info("accepted", **self._request, **_names(record))

    def request(self, **facts: Any) -> None:
        """One answered request: method, path, status, code, seconds, owner, request_id."""
        self._log.info("request", **facts)
        self._count("Requests", "status", str(facts["status"]))
        if facts["code"]:
            self._count("Errors", "code", facts["code"])

    def ended(self, record: Record, outcome: Outcome) -> None:
        """One job that ended."""
        code = outcome.error["code"] if outcome.error else None
        seconds = outcome.completed_at - record.created_at
        self._log.info(
            "job",
            **self._request,
            **_names(record),
            status=outcome.status,
            code=code,
            seconds=round(seconds, 3),
            pictures=len(outcome.images),
        )
        self._metric("JobSeconds", MetricUnit.Seconds, seconds, "status", outcome.status)
        if code:
            self._count("JobErrors", "code", code)

    def dropped(self, reason: str, inference_id: str = "") -> None:
        """An event that belongs to no job."""
        self._log.warning("dropped", reason=reason, inference_id=inference_id)

    def crashed(self, error: BaseException, request_id: str = "") -> None:
        """An exception that should not have been: its type and where, not its text."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
        self._log.error("crashed", error=type(error).__name__, where=where, request_id=request_id)

    def _count(self, name: str, dimension: str, value: str) -> None:
        self._metric(name, MetricUnit.Count, 1, dimension, value)

    def _metric(self, name: str, unit: MetricUnit, value: float, dimension: str, of: str) -> None:
        if not self._namespace:
            return
        always = {"service": self._service}
        with single_metric(name, unit, value, namespace=self._namespace, default_dimensions=always) as metric:
            metric.add_dimension(dimension, of)


def _names(record: Record) -> dict[str, Any]:
    """`inference_id` is what SageMaker and the container call the job."""
    ticket = record.ticket
    return {"job": ticket.id, "owner": ticket.owner, "inference_id": ticket.inference_id}
