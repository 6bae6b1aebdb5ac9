"""Replicate's predictions: `/v1/predictions` and `/v1/models/{owner}/{name}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contract import INIT_IMAGE_BYTES, OUTPUT_FORMATS, EaselError, ModelProfile, dumps, image_size, parse_body, refuse
from gateway.bodies import json_body
from gateway.events import Request, Response
from gateway.forms import read_form
from gateway.router import Route
from jobs.records import Job
from jobs.webhook import Webhook
from routes.api import Api, Documentation
from routes.generations import Generations
from routes.job_views import JOBS_LIMIT, JobViews
from routes.replicate.inputs import parse
from routes.replicate.predictions import Predictions, error_response, file_view

_WAIT = re.compile(r"(?:^|[,;\s])wait(?:\s*=\s*([0-9]{1,4}))?(?:$|[,;\s])", re.ASCII)
REPLICATE_EVENTS = ("start", "output", "logs", "completed")
"""Events of Replicate, all of which it sends by default."""
_DATA_URL_BYTES = 4096
"""More than the rest of a prediction, beside the images and the prompt."""


class ReplicateApi(Api):
    """Implements `routes.api.Api`."""

    paths = re.compile("/v1/(predictions|files|webhooks|models/[^/]+/)")
    waiting = re.compile("/v1/(models/[^/]+/[^/]+/)?predictions")

    def __init__(self, generations: Generations) -> None:
        self._generations, self._jobs, self._default = generations, generations.jobs, generations.profile
        self._views = JobViews(self._jobs.link, self._jobs.endpoints.default.reports_start)
        self._predictions = Predictions(generations.profiles)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/predictions", self.predict),
            Route("GET", "/v1/predictions", self.recent),
            Route("GET", "/v1/predictions/<id>", self.prediction),
            Route("POST", "/v1/predictions/<id>/cancel", self.cancel),
            Route("POST", "/v1/files", self.file),
            Route("GET", "/v1/webhooks/default/secret", self.webhook_secret),
            Route("POST", "/v1/models/<owner>/<name>/predictions", self.predict),
            Route("GET", "/v1/models/<owner>/<name>", self.model),
            Route("GET", "/v1/models/<owner>/<name>/versions", self.versions),
            Route("GET", "/v1/models/<owner>/<name>/versions/<id>", self.version),
        ]

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        return error_response(error)

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        from routes.openapi_parts import replicate

        return Documentation(replicate())

    def predict(self, request: Request, owner: str = "", name: str = "") -> Response:
        """Start a job, and with `Prefer: wait` wait for it: 202 if it has not ended by then."""
        sent = parse_body(json_body(request))
        wanted = f"{owner}/{name}" if owner else str(sent.get("version") or sent.get("model") or "")
        found = self._predictions.find(wanted)
        generation, warnings = parse(sent.get("input"), found or self._default, self._default)
        if wanted and not found:
            warnings.append(f"the model {wanted[:80]!r} is not deployed; easel/{self._default.id} was used")
        webhook = self._webhook(sent, warnings)
        record = self._generations.accept(request, generation, sent, webhook, warnings)
        match = _WAIT.search(request.header("prefer") or "")
        seconds = 0.0 if not match else float(match[1]) if match[1] else math.inf
        job = self._generations.wait(request, record, seconds)
        status = 201 if job.outcome or not match else 202
        prediction = {**self._view(request, job)}
        if not job.outcome:  # clients take any other status for the end of the prediction
            prediction["status"] = "starting"
        return _json(prediction, status)

    def prediction(self, request: Request, id: str) -> Response:
        """Return the state of a job."""
        return _json(self._view(request, self._jobs.get(self._generations.ticket(request, id))))

    def cancel(self, request: Request, id: str) -> Response:
        """Cancel a job. One that has ended stays as it is."""
        ticket = self._generations.ticket(request, id)
        try:
            job = self._jobs.cancel(ticket)
        except EaselError as error:
            if error.code != "job_finished":
                raise
            job = self._jobs.get(ticket)
        return _json(self._view(request, job))

    def recent(self, request: Request) -> Response:
        """Return the caller's newest jobs. There are no further pages."""
        jobs = self._jobs.recent(request.owner, JOBS_LIMIT.maximum)
        results = [self._predictions.view(self._views.job(job), request.base_url) for job in jobs]
        return _json({"previous": None, "next": None, "results": results})

    def model(self, request: Request, owner: str, name: str) -> Response:
        """Return the model of this name, or else the default: it is used for predictions of any other."""
        return _json(self._predictions.model_view(self._named(owner, name)))

    def versions(self, request: Request, owner: str, name: str) -> Response:
        return _json(
            {"previous": None, "next": None, "results": [self._predictions.version_view(self._named(owner, name))]}
        )

    def version(self, request: Request, owner: str, name: str, id: str) -> Response:
        return _json(self._predictions.version_view(self._named(owner, name)))

    def file(self, request: Request) -> Response:
        """Return a file as a data URL, which a prediction takes as its image. Nothing is stored."""
        content = next((part.content for part in read_form(request) if part.name == "content"), None)
        if not content or not image_size(content):
            refuse("bad_image", "content", "content is not an image", "Send a PNG, WebP or JPEG file.")
        if len(content) > INIT_IMAGE_BYTES:
            refuse("out_of_range", "content", "the file is too large", f"Send at most {INIT_IMAGE_BYTES} bytes.")
        return _json(file_view(content), 201)

    def webhook_secret(self, request: Request) -> Response:
        """Return the secret of the caller's webhooks."""
        return _json({"key": self._generations.webhooks.secret(request.owner)})

    def _named(self, owner: str, name: str) -> ModelProfile:
        return self._predictions.find(f"{owner}/{name}") or self._default

    def _webhook(self, sent: Mapping[str, Any], warnings: list[str]) -> Webhook | None:
        """Return the webhook of a request; events that Easel does not have are left out."""
        wanted = sent.get("webhook_events_filter") or REPLICATE_EVENTS
        if not sent.get("webhook") or not isinstance(wanted, list | tuple):
            return None
        events = self._generations.webhooks.supported([str(event) for event in wanted])
        if not events and self._generations.webhooks.events:
            warnings.append("webhook was ignored: this service has none of its events")
            return None
        webhook = self._generations.webhooks.parse({"webhook": sent["webhook"], "webhook_events": events})
        return webhook and replace(webhook, api="replicate")

    def _view(self, request: Request, job: Job) -> dict[str, Any]:
        if job.outcome:
            view = self._views.job(job)
        else:
            view = self._views.job(job, self._generations.state(job.model), self._jobs.progress(job))
        output = self._data_urls(job) if request.base_url.startswith("http:") else None
        return self._predictions.view(view, request.base_url, output)

    def _data_urls(self, job: Job) -> list[str] | None:
        """Return the images themselves, or None if they are too large: clients read no files from `http:` URLs."""
        if not job.record or not job.outcome or not job.outcome.images:
            return None
        prefix = f"data:{OUTPUT_FORMATS[job.record.request.output_format]};base64,"
        encoded = self._generations.inline(job, _DATA_URL_BYTES)
        return encoded and [prefix + image for image in encoded]


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, dumps(value))
