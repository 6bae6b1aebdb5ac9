"""Responses of OpenAI's Images API: images, events of a stream, models and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract import EaselError, dumps
from gateway.events import Response, without_surrogates
from gateway.problem_details import problem_headers
from jobs.records import Image, Job, Outcome
from routes.api import explain
from routes.openai.fields import ImageRequest

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {"content_filtered": "content_policy_violation"}
"""Codes of OpenAI's own where clients know them."""


class OpenAIError(EaselError):
    """An error about a job, with the response's `status`. `job`: its id."""

    def __init__(self, error: EaselError, status: int, job: str) -> None:
        super().__init__(error.code, error.message, hint=error.hint, param=error.param)
        self.status, self.job = status, job


def render_error(error: EaselError) -> Response:
    """Return the response to an error. Its message says what to do, too: clients show nothing else."""
    status, job = (error.status, error.job) if isinstance(error, OpenAIError) else (error.kind.status, "")
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = without_surrogates(error.param) if error.param else None
    value = {"message": explain(error), "type": kind, "param": param, "code": _CODES.get(error.code, error.code)}
    body = {"error": {**value, "job": job} if job else value}
    headers = problem_headers(error) if status == error.kind.status else {"x-should-retry": "false"}
    return Response(status, dumps(body), headers=headers)


def images(request: ImageRequest, job: Job, outcome: Outcome, model: str, files: Sequence[dict[str, str]]) -> Response:
    """Return the images. `files`: `b64_json` or `url` of each."""
    common = _common(job, outcome, request)
    data = [{**file, "seed": image.seed, **_flag(image)} for file, image in zip(files, outcome.images, strict=True)]
    more = {
        "model": model,
        "seed": outcome.images[0].seed,
        "timings": dict(outcome.timings),
        "warnings": [*request.warnings, *outcome.warnings],
        "job": job.ticket.id,
    }
    return Response(200, dumps({"created": int(job.created_at), "data": data, **common, **more}))


def stream(request: ImageRequest, job: Job, outcome: Outcome, model: str, files: Sequence[dict[str, str]]) -> Response:
    """Return one event for each image, as a whole: the gateway does not stream."""
    kind = "image_edit.completed" if request.edits else "image_generation.completed"
    common = {**_common(job, outcome, request), "created_at": int(job.created_at), "model": model}
    warnings = [*request.warnings, *outcome.warnings]
    events = [
        {"type": kind, **file, **common, "seed": image.seed, **_flag(image), "warnings": warnings, "job": job.ticket.id}
        for file, image in zip(files, outcome.images, strict=True)
    ]
    text = "".join(f"event: {kind}\ndata: {dumps(event)}\n\n" for event in events)
    return Response(200, text, "text/event-stream; charset=utf-8")


def _flag(image: Image) -> dict[str, Any]:
    """Return the fields of an image that the safety checker flagged. OpenAI's own have none."""
    return {"flagged": True, "flagged_reason": "safety_checker"} if image.flagged else {}


def model_view(id: str) -> dict[str, Any]:
    """Return a model. When it was created is not known, and clients expect a number."""
    return {"id": id, "object": "model", "created": 0, "owned_by": "easel"}


def _common(job: Job, outcome: Outcome, request: ImageRequest) -> dict[str, Any]:
    """Return the true size and format, which may be those of an earlier request with the same Idempotency-Key."""
    generation = job.record.request if job.record else request.generation
    return {
        "background": "opaque",
        "output_format": generation.output_format,
        "size": "x".join(map(str, generation.result_size)),
    }
