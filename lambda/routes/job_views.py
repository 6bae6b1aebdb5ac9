"""Jobs as the native API shows them, in responses and in webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import contract
from contract import dumps
from contract import parameters_of as request_parameters
from jobs.ports import EndpointState, Progress, Ticket
from jobs.records import Job, Outcome
from routes import views

UNKNOWN = EndpointState("unknown")
JOBS_LIMIT = contract.Bound(1, 40)
"""Jobs in a response of GET /jobs. 40 with the longest prompts fit into the largest response."""


class JobViews:
    """Renders jobs. `link` returns the URL of an image file. `reports_start`: as in `jobs.ports.Endpoint`."""

    def __init__(self, link: Callable[[Ticket, str], str], reports_start: bool) -> None:
        self._link, self._reports_start = link, reports_start

    def job(self, job: Job, state: EndpointState = UNKNOWN, progress: Progress | None = None) -> views.Job:
        """Return the state of a job."""
        outcome, path = job.outcome, f"/jobs/{job.ticket.id}"
        request = job.record.request if job.record else None
        status = "running" if progress and not outcome else job.status
        return views.Job(
            id=job.ticket.id,
            model=job.model or None,
            status=status,  # type: ignore[arg-type]  # pydantic checks it
            message=_message(status, job, state, self._reports_start),
            created_at=timestamp(job.created_at),
            started_at=timestamp(job.started_at) if job.started_at else None,
            completed_at=timestamp(outcome.completed_at) if outcome else None,
            progress=views.Progress(**asdict(progress)) if progress else None,
            parameters=parameters_of(job),
            seeds=list(request.seeds()) if request else [],
            images=self.images(job),
            timings=dict(outcome.timings) if outcome else {},
            warnings=list(job.warnings),
            error=_job_error(outcome),
            urls=views.Urls(get=path, cancel=path),
            webhook=_webhook(job),
        )

    def images(self, job: Job) -> list[views.Image]:
        """Return the image files of a job, behind links."""
        if job.record is None or job.outcome is None:
            return []
        request = job.record.request
        width, height = request.result_size
        return [
            views.Image(
                url=self._link(job.ticket, image.name),
                seed=image.seed,
                width=width,
                height=height,
                media_type=contract.OUTPUT_FORMATS.get(request.output_format, "application/octet-stream"),
                flagged=image.flagged,
                flagged_reason="safety_checker" if image.flagged else None,
            )
            for image in job.outcome.images
        ]


def webhook_bodies(
    views: JobViews, profiles: Sequence[contract.ModelProfile], base_url: str = ""
) -> Mapping[str, Callable[[Job, str], str]]:
    """Return API (`Webhook.api`) to its form of an event of a job, as JSON.

    `profiles`: of the service's models. `base_url`: of the API, if it is known.
    """
    from routes.replicate.predictions import Predictions

    predictions = Predictions(profiles)

    def native(job: Job, event: str) -> str:
        at = job.outcome.completed_at if job.outcome else job.started_at or job.created_at
        return dumps({"type": f"job.{event}", "timestamp": timestamp(at), "data": views.job(job).model_dump()})

    def replicate(job: Job, event: str) -> str:
        return dumps(predictions.view(views.job(job), base_url))

    return {"native": native, "replicate": replicate}


def timestamp(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parameters_of(job: Job) -> dict[str, Any]:
    """Return the parameters that the container reports, or else those of the request."""
    if job.outcome and job.outcome.parameters:
        return dict(job.outcome.parameters)
    return request_parameters(job.record.request) if job.record else {}


def _job_error(outcome: Outcome | None) -> views.JobError | None:
    error = outcome.exception() if outcome else None
    if error is None:
        return None
    return views.JobError(
        code=error.code, status=error.kind.status, message=error.message, hint=error.hint, param=error.param
    )


def _webhook(job: Job) -> views.Webhook | None:
    webhook = job.record.webhook if job.record else None
    if webhook is None:
        return None
    deliveries = [
        views.WebhookDelivery(
            event=event,
            state=delivery.state,
            attempts=[
                views.WebhookAttempt(**{**asdict(attempt), "at": timestamp(attempt.at), "error": attempt.error or None})
                for attempt in delivery.attempts
            ],
        )
        for event, delivery in job.deliveries.items()
    ]
    return views.Webhook(url=webhook.origin, events=list(webhook.events), deliveries=deliveries)


def _message(status: str, job: Job, state: EndpointState, reports_start: bool) -> str:
    if job.outcome:
        return _end_message(job, job.outcome, reports_start)
    if status == "running":
        return "The image is being generated."
    if state.status == "asleep" and state.wake_minutes:
        low, high = state.wake_minutes
        return f"The model is starting for this job; that usually takes {low} to {high} minutes."
    if state.status in ("starting", "broken") or (state.status == "asleep" and state.detail):
        return state.detail or f"The model is {state.status}."
    waiting = "The job is waiting." if reports_start else "The job is waiting or running."
    together = f" All jobs that wait or run take about {state.busy_seconds} s together."
    return waiting if state.busy_seconds is None else waiting + together


def _end_message(job: Job, outcome: Outcome, reports_start: bool) -> str:
    if outcome.status == "cancelled":
        if job.started_at:
            return "The job was cancelled while it ran, and its generation stopped."
        if reports_start:
            return "The job was cancelled before it started."
        return "The job was cancelled. If it was already running, its images are discarded."
    error = outcome.exception()
    return f"The job failed: {error.message}." if error else "The images are ready."
