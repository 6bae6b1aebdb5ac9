"""Easel's own dialect."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from pydantic import BaseModel

import contract
from contract import EaselError, GenerationRequest, ModelProfile, dumps, refuse
from gateway.events import ANSWER_BYTES, Answer, Call, Route, encoded_size, render
from jobs.lifecycle import Jobs
from jobs.ports import EndpointState, Progress, Ticket
from jobs.records import Job, Outcome, Record
from routes import views
from routes.chinese_names import in_chinese
from routes.openapi import RECENT, document

ROOM_BYTES = ANSWER_BYTES - 65_536
"""What an answer with pictures in it may take; the rest is for headers and quotes."""

_JOB_ID = re.compile(r"[0-9a-f]{44}", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_TOO_BIG = "the pictures do not fit into one answer as base64: take them from the links in images"


class Native:
    """`wait_s`: how long POST /generate waits. `deadline_ms`: the deadline of requests that name none."""

    def __init__(self, *, jobs: Jobs, profile: ModelProfile, wait_s: float, deadline_ms: int | None) -> None:
        self._jobs, self._profile, self._wait_s, self._deadline_ms = jobs, profile, wait_s, deadline_ms

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/generate", self.generate),
            Route("POST", "/jobs", self.submit),
            Route("GET", "/jobs", self.recent),
            Route("GET", "/jobs/<id>", self.job),
            Route("DELETE", "/jobs/<id>", self.cancel),
            Route("GET", "/models", self.models),
            Route("GET", "/health", self.health),
            Route("GET", "/openapi.json", self.openapi),
        ]

    # --- the routes ------------------------------------------------------------------------------

    def generate(self, call: Call) -> Answer:
        job = self._jobs.wait(self._accept(call), call.began + self._wait_s)
        if not job.outcome:
            return self._accepted(job)
        failure = job.outcome.exception()
        if failure:
            raise failure
        return self._generated(job, job.outcome)

    def submit(self, call: Call) -> Answer:
        return self._accepted(self._jobs.wait(self._accept(call), call.began))

    def job(self, call: Call, id: str) -> Answer:
        return _json(self._full_view(self._jobs.get(_ticket(call, id))))

    def cancel(self, call: Call, id: str) -> Answer:
        return _json(self._full_view(self._jobs.cancel(_ticket(call, id))))

    def recent(self, call: Call) -> Answer:
        jobs = self._jobs.recent(call.owner, _limit(call))
        state = self._state() if any(job.status == "queued" for job in jobs) else EndpointState("unknown")
        return _json(views.Jobs(jobs=[self._view(job, state) for job in jobs]))

    def models(self, call: Call) -> Answer:
        return _json(views.Models(models=[_model(self._profile, self._features())]))

    def health(self, call: Call) -> Answer:
        state = self._state()
        fine = state.status in ("ready", "asleep", "starting")
        endpoint = views.EndpointHealth.model_validate({"status": state.status, "detail": state.detail})
        return _json(views.Health(status="ok" if fine else "degraded", model=self._profile.id, endpoint=endpoint))

    def openapi(self, call: Call) -> Answer:
        return Answer(200, dumps(document(self._profile)))

    # --- in --------------------------------------------------------------------------------------

    def _accept(self, call: Call) -> Record:
        _check_content_type(call)
        request = contract.parse_request(call.body, self._profile)
        key, digest = _idempotency(call)
        if request.deadline_ms is None:
            request = replace(request, deadline_ms=self._deadline_ms)
        return self._jobs.accept(call.owner, request, key, digest)

    def _features(self) -> list[views.Feature]:
        found: dict[views.Feature, bool] = {
            "image_to_image": self._profile.image_to_image,
            "embed_parameters": True,
            "preview": self._jobs.endpoint.shows_preview,
        }
        return [name for name, offered in found.items() if offered]

    # --- out -------------------------------------------------------------------------------------

    def _state(self) -> EndpointState:
        try:
            return self._jobs.endpoint.state()
        except EaselError as error:
            return EndpointState("unknown", error.message)

    def _accepted(self, job: Job) -> Answer:
        headers = {"location": f"jobs/{job.ticket.id}", "retry-after": "2"}
        return _json(self._full_view(job), 202, headers)

    def _full_view(self, job: Job) -> views.Job:
        if job.outcome:
            return self._view(job, EndpointState("unknown"))
        progress = self._jobs.endpoint.progress(job.ticket)
        return self._view(job, self._state(), progress)

    def _view(self, job: Job, state: EndpointState, progress: Progress | None = None) -> views.Job:
        outcome, request, path = job.outcome, job.record.request, f"/jobs/{job.ticket.id}"
        status = "running" if progress and not outcome else job.status
        return views.Job(
            id=job.ticket.id,
            status=status,  # type: ignore[arg-type]  # pydantic checks it
            message=_message(status, outcome, state, self._jobs.endpoint.tells_start),
            created_at=_moment(job.record.created_at),
            started_at=_moment(job.started_at) if job.started_at else None,
            completed_at=_moment(outcome.completed_at) if outcome else None,
            progress=views.Progress(**asdict(progress)) if progress else None,
            parameters=_parameters(request, outcome),
            seeds=list(request.seeds()),
            images=self._images(job),
            timings=dict(outcome.timings) if outcome else {},
            warnings=list(outcome.warnings) if outcome else [],
            error=_job_error(outcome),
            urls=views.Urls(get=path, cancel=path),
        )

    def _images(self, job: Job) -> list[views.Image]:
        request = job.record.request
        return [
            views.Image(
                url=self._jobs.link(job.ticket, picture.name),
                seed=picture.seed,
                width=request.width,
                height=request.height,
                media_type=contract.OUTPUT_FORMATS[request.output_format],
            )
            for picture in (job.outcome.images if job.outcome else ())
        ]

    def _generated(self, job: Job, outcome: Outcome) -> Answer:
        answer = views.Generated(
            id=job.ticket.id,
            generated_images=[],
            seeds=[picture.seed for picture in outcome.images],
            parameters=_parameters(job.record.request, outcome),
            timings=dict(outcome.timings),
            warnings=list(outcome.warnings),
            images=self._images(job),
        )
        inline = sum(4 * ((picture.size + 2) // 3) + 5 for picture in outcome.images)
        if encoded_size(render(_json(answer), "")) + inline > ROOM_BYTES:
            return _json(answer.model_copy(update={"warnings": [*answer.warnings, _TOO_BIG]}))
        bodies = (self._jobs.picture(job.ticket, picture.name) for picture in outcome.images)
        encoded = [base64.b64encode(body).decode() for body in bodies]
        return _json(answer.model_copy(update={"generated_images": encoded}))


def _json(view: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, view.model_dump_json(), headers=headers or {})


def _check_content_type(call: Call) -> None:
    values = set(call.headers.get("content-type", ()))
    media_type, _, parameters = (values.pop() if len(values) == 1 else "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        refuse("unsupported_media_type", None, "the body must be application/json", "Send content-type once.")


def _idempotency(call: Call) -> tuple[str, str]:
    """The key, and the hash of the body as it means, not as it is spelt; both empty where no key was sent."""
    key = call.header("idempotency-key")
    if key is None:
        return "", ""
    if not _KEY.fullmatch(key):
        refuse("bad_header", "idempotency-key", "the Idempotency-Key is not 1 to 255 printable ASCII characters")
    sent = dumps(dict(sorted(contract.loads(call.body).items())))
    return key, sha256(sent.encode()).hexdigest()


def _ticket(call: Call, id: str) -> Ticket:
    if not _JOB_ID.fullmatch(id):
        refuse("not_found", None, "there is no such job")
    return Ticket(call.owner, id)


def _limit(call: Call) -> int:
    values = set(call.query.get("limit", ())) or {str(RECENT.maximum // 2)}
    text = values.pop()
    limit = int(text) if re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) else 0
    if values or not RECENT.minimum <= limit <= RECENT.maximum:
        allowed = f"{RECENT.minimum} to {RECENT.maximum}"
        refuse("out_of_range", "limit", f"limit is not one integer from {allowed}", f"Send {allowed}.")
    return limit


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parameters(request: GenerationRequest, outcome: Outcome | None) -> dict[str, Any]:
    return dict(outcome.parameters) if outcome and outcome.parameters else asdict(request)


def _job_error(outcome: Outcome | None) -> views.JobError | None:
    error = outcome.exception() if outcome else None
    if error is None:
        return None
    return views.JobError(
        code=error.code, status=error.kind.status, message=error.message, hint=error.hint, param=error.param
    )


def _message(status: str, outcome: Outcome | None, state: EndpointState, tells_start: bool) -> str:
    if outcome:
        return _ended(outcome, tells_start)
    if status == "running":
        return "The picture is being drawn."
    if state.status == "asleep" and state.wake_minutes:
        low, high = state.wake_minutes
        return f"The model is asleep and wakes for this job; that usually takes {low} to {high} minutes."
    if state.status in ("starting", "broken"):
        return state.detail or f"The model is {state.status}."
    return "The job waits for its turn." if tells_start else "The job waits for its turn or is being drawn."


def _ended(outcome: Outcome, tells_start: bool) -> str:
    if outcome.status == "cancelled":
        discarded = "The job was cancelled. Should its picture be in the drawing already, it will be discarded."
        return "The job was cancelled before it started." if tells_start else discarded
    error = outcome.exception()
    return f"The job failed: {error.message}." if error else "The pictures are ready."


def _model(profile: ModelProfile, features: list[views.Feature]) -> views.Model:
    width, height = profile.sizes[0]
    return views.Model(
        id=profile.id,
        name=profile.name,
        licence=profile.licence,
        licence_url=profile.licence_url,
        sizes=[views.Size(width=width, height=height) for width, height in profile.sizes],
        defaults=views.Defaults(
            width=width,
            height=height,
            num_images_per_prompt=1,
            num_inference_steps=profile.steps,
            guidance_scale=profile.guidance_scale,
            scheduler=profile.scheduler,
            output_format=next(iter(contract.OUTPUT_FORMATS)),
            strength=contract.DEFAULT_STRENGTH,
            embed_parameters=False,
        ),
        bounds=_bounds(profile),
        schedulers=list(profile.schedulers),
        formats=list(contract.OUTPUT_FORMATS),
        features=features,
        enlarges=profile.enlarges,
        suggestions=list(profile.suggestions),
        draws=list(profile.draws),
        draws_in={"zh-CN": in_chinese(profile.draws)},
    )


def _bounds(profile: ModelProfile) -> views.Bounds:
    side = contract.Bound(contract.SIDE.minimum, min(contract.SIDE.maximum, profile.max_side))
    return views.Bounds(
        width=_range(side),
        height=_range(side),
        side_multiple=contract.SIDE_MULTIPLE,
        prompts=_range(contract.PROMPTS),
        prompt_chars=_range(contract.PROMPT_CHARS),
        negative_prompt_chars=_range(contract.NEGATIVE_PROMPT_CHARS),
        images=_range(contract.IMAGES),
        num_inference_steps=_range(contract.STEPS),
        guidance_scale=_range(contract.GUIDANCE),
        seed=_range(contract.SEED),
        deadline_ms=_range(contract.DEADLINE_MS),
        strength=views.Fraction(minimum=contract.STRENGTH.minimum, maximum=contract.STRENGTH.maximum),
        init_image_bytes=contract.INIT_IMAGE_BYTES,
        init_image_pixels=contract.INIT_IMAGE_PIXELS,
        budget=profile.budget,
    )


def _range(bound: contract.Bound) -> views.Range:
    return views.Range(minimum=bound.minimum, maximum=bound.maximum)
