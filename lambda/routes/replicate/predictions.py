"""Predictions and models as Replicate shows them: a second form of the native job."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from contract import EaselError, ModelProfile, dumps, render_profile
from gateway.events import Response
from gateway.problem_details import problem_headers
from routes import views
from routes.api import common_status, explain
from routes.job_views import timestamp
from routes.replicate.inputs import INPUTS, input_schema

_STATUSES = {"queued": "starting", "running": "processing", "cancelled": "canceled"}
"""Native status to Replicate's; others are the same."""
_SHOWN = (
    "prompt", "negative_prompt", "width", "height", "num_images_per_prompt", "num_inference_steps", "guidance_scale",
    "seed", "scheduler", "output_format", "init_image", "strength", "mask_image", "images", "content",
)  # fmt: skip
_BAR = 20


class Predictions:
    """Renders models and their jobs. `owner/name` of a model is `easel/<model id>`; the first is the default.

    The only version of a model is a hash of its profile.
    """

    def __init__(self, profiles: Sequence[ModelProfile]) -> None:
        self._profiles = {profile.id: profile for profile in profiles}
        self._versions = {profile.id: sha256(render_profile(profile).encode()).hexdigest() for profile in profiles}
        self._default = profiles[0]

    def find(self, name: str) -> ModelProfile | None:
        """Return the model of this name (`easel/<id>`, or only the id) or version."""
        id = next((id for id, version in self._versions.items() if version == name), name.removeprefix("easel/"))
        return self._profiles.get(id)

    def view(self, job: views.Job, base_url: str, output: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a prediction. `output`: URLs of the images in place of the job's links."""
        model = job.model or self._default.id
        links = [f"{base_url}{image.url}" if image.url.startswith("/") else image.url for image in job.images]
        url, failed = f"{base_url}/v1/predictions/{job.id}", job.error and job.status == "failed"
        return {
            "id": job.id,
            "model": f"easel/{model}",
            "version": self._versions.get(model, ""),
            "input": _input(job.parameters),
            "logs": _logs(job),
            "output": list(links if output is None else output) or None,
            "data_removed": False,
            "error": _error(job.error) if failed and job.error else None,
            "source": "api",
            "status": _STATUSES.get(job.status, job.status),
            "created_at": job.created_at,
            "started_at": job.started_at,
            "completed_at": job.completed_at,
            "metrics": _metrics(job),
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }

    def model_view(self, profile: ModelProfile) -> dict[str, Any]:
        """Return a model."""
        return {
            "url": "",
            "owner": "easel",
            "name": profile.id,
            "description": profile.name,
            "visibility": "private",
            "github_url": None,
            "paper_url": None,
            "license_url": profile.licence_url or None,
            "run_count": 0,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": self.version_view(profile),
        }

    def version_view(self, profile: ModelProfile) -> dict[str, Any]:
        """Return the version of a model. When it was created is not known."""
        output = {"title": "Output", "type": "array", "items": {"type": "string", "format": "uri"}}
        schemas = {"Input": input_schema(profile), "Output": output}
        schema = {
            "openapi": "3.0.2",
            "info": {"title": profile.name, "version": "1"},
            "paths": {},
            "components": {"schemas": schemas},
        }
        return {
            "id": self._versions[profile.id],
            "created_at": "1970-01-01T00:00:00.000Z",
            "cog_version": "0.16.0",
            "openapi_schema": schema,
        }


def file_view(content: bytes) -> dict[str, Any]:
    """Return an uploaded image file, whose URL contains the file."""
    digest, media_type = sha256(content).hexdigest(), _media_type(content)
    return {
        "id": digest,
        "name": "file",
        "content_type": media_type,
        "size": len(content),
        "etag": digest,
        "checksums": {"sha256": digest},
        "metadata": {},
        "created_at": timestamp(time.time()),
        "expires_at": None,
        "urls": {"get": f"data:{media_type};base64,{base64.b64encode(content).decode()}"},
    }


def error_response(error: EaselError) -> Response:
    """Return the response to an error."""
    status, text = common_status(error, invalid=422), explain(error)
    body: dict[str, Any] = {"title": error.kind.title, "detail": text, "status": status, "code": error.code}
    if error.param and status == 422:
        body |= {
            "title": "Input validation failed",
            "detail": f"- {error.param[:80]}: {text}",
            "invalid_fields": [{"type": error.code, "field": error.param[:80], "description": text}],
        }
    return Response(status, dumps(body), headers=problem_headers(error))


def _input(parameters: dict[str, Any]) -> dict[str, Any]:
    shown = {INPUTS.get(name, name): parameters[name] for name in _SHOWN if parameters.get(name) is not None}
    prompts = shown.get("prompt")
    return {**shown, "prompt": prompts[0]} if isinstance(prompts, list | tuple) and len(prompts) == 1 else shown


def _logs(job: views.Job) -> str:
    """Return lines of a log. The last has the form of tqdm's progress, which clients parse."""
    lines = [f"Using seed: {job.seeds[0]}"] if job.seeds else []
    lines += [f"Warning: {warning}" for warning in job.warnings]
    if job.status in ("queued", "failed", "cancelled"):
        lines.append(job.message)
    progress, steps = job.progress, job.parameters.get("num_inference_steps")
    if progress and progress.steps:
        lines.append(_bar(progress.step, progress.steps))
    elif job.status == "succeeded" and steps:
        lines.append(_bar(steps, steps))
    return "\n".join(lines)


def _media_type(file: bytes) -> str:
    """Return the type of an image file. Nothing depends on it: images are recognised by their content."""
    return "image/png" if file.startswith(b"\x89PNG") else "image/webp" if file.startswith(b"RIFF") else "image/jpeg"


def _bar(step: int, steps: int) -> str:
    done = _BAR * step // steps
    return f"{100 * step // steps:3d}%|{'█' * done}{' ' * (_BAR - done)}| {step}/{steps}"


def _error(error: views.JobError) -> str:
    return f"{explain(EaselError('internal', error.message, hint=error.hint))} ({error.code})"


def _metrics(job: views.Job) -> dict[str, Any]:
    """Return Replicate's names of the durations that are known."""
    named = {"predict_time": job.timings.get("generate_s"), "total_time": job.timings.get("job_s")}
    metrics: dict[str, Any] = {name: seconds for name, seconds in named.items() if seconds is not None}
    return {**metrics, "image_count": len(job.images)} if job.images else metrics
