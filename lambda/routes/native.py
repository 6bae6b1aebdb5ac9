"""The native API: `/generate`, `/jobs`, `/models`, `/health` and `/openapi.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel

import contract
from contract import EaselError, ModelProfile, dumps, refuse
from gateway.bodies import json_body
from gateway.events import Request, Response, encoded_size, render
from gateway.problem_details import problem_response
from gateway.router import Route
from jobs.records import Job, Outcome, Record
from routes import views
from routes.api import Api, Documentation
from routes.chinese_names import in_chinese
from routes.generations import Generations, Model
from routes.job_views import JOBS_LIMIT, UNKNOWN, JobViews, parameters_of, timestamp

_TOO_LARGE = "the images are too large for one response: download them from the links in images"


class NativeApi(Api):
    """Implements `routes.api.Api`."""

    paths = re.compile("")
    waiting = re.compile("/generate")

    def __init__(self, generations: Generations) -> None:
        self._generations, self._jobs = generations, generations.jobs

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/generate", self.generate),
            Route("POST", "/jobs", self.submit),
            Route("GET", "/jobs", self.recent),
            Route("GET", "/jobs/<id>", self.job),
            Route("DELETE", "/jobs/<id>", self.cancel),
            Route("GET", "/webhooks/secret", self.webhook_secret),
            Route("POST", "/webhooks/secret", self.rotate_webhook_secret),
            Route("GET", "/models", self.models),
            Route("GET", "/health", self.health),
            Route("GET", "/usage", self.usage),
            Route("GET", "/openapi.json", self.openapi),
        ]

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        return problem_response(error, path, request_id)

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        from routes import openapi

        return openapi.native(profile, webhook_events)

    # --- routes ----------------------------------------------------------------------------------

    def generate(self, request: Request) -> Response:
        """Generate images and wait; 202 with the job if that takes longer than `wait_s`, or than the function has."""
        job = self._generations.wait(request, self._accept(request))
        if not job.outcome:
            return self._accepted(job)
        error = job.outcome.exception()
        if error:
            raise error
        return self._generated(job, job.outcome)

    def submit(self, request: Request) -> Response:
        """Start a job without waiting."""
        return self._accepted(self._jobs.wait(self._accept(request), request.received_at))

    def job(self, request: Request, id: str) -> Response:
        """Return the state of a job."""
        return _json(self._full_view(self._jobs.get(self._generations.ticket(request, id))))

    def cancel(self, request: Request, id: str) -> Response:
        """Cancel a job that has not started, or also a running one if the endpoint can stop it."""
        return _json(self._full_view(self._jobs.cancel(self._generations.ticket(request, id))))

    def recent(self, request: Request) -> Response:
        """Return the caller's newest jobs."""
        jobs = self._jobs.recent(request.owner, _limit(request))
        states = {model: self._generations.state(model) for model in {j.model for j in jobs if j.status == "queued"}}
        return _json(views.Jobs(jobs=[self._views.job(job, states.get(job.model, UNKNOWN)) for job in jobs]))

    def models(self, request: Request) -> Response:
        """Return the models with their defaults, bounds and states; the first is the default."""
        models = [
            _model(model.profile, self._features(model.profile), self._state(model))
            for model in self._generations.models
        ]
        return _json(views.Models(models=models))

    def health(self, request: Request) -> Response:
        """Return whether a new job will run."""
        states = {model.profile.id: self._state(model) for model in self._generations.models}
        healthy = all(state.status in ("ready", "asleep", "starting") for state in states.values())
        default, endpoint = next(iter(states.items()))
        status: Literal["ok", "degraded"] = "ok" if healthy else "degraded"
        return _json(views.Health(status=status, model=default, endpoint=endpoint, models=states))

    def usage(self, request: Request) -> Response:
        """Return what the caller has used of its quota."""
        usage = self._jobs.usage(request.owner)
        return _json(
            views.Usage(
                images_today=usage.images_today,
                images_a_day=usage.limits.images_a_day,
                images_this_month=usage.images_this_month,
                images_reserved=usage.images_reserved,
                gpu_seconds_this_month=usage.gpu_seconds,
                gpu_seconds_a_month=usage.limits.gpu_seconds_a_month,
                usd_this_month=usage.usd(self._generations.prices),
                day_ends_at=timestamp(usage.day_ends_at),
                month_ends_at=timestamp(usage.month_ends_at),
            )
        )

    def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        from routes.openapi import document

        return Response(200, dumps(document(self._generations.profiles, self._generations.webhooks.events)))

    def webhook_secret(self, request: Request) -> Response:
        """Return the secret of the caller's webhooks."""
        return _json(views.WebhookSecret(key=self._generations.webhooks.secret(request.owner)))

    def rotate_webhook_secret(self, request: Request) -> Response:
        """Replace the secret of the caller's webhooks."""
        return _json(views.WebhookSecret(key=self._generations.webhooks.rotate_secret(request.owner)))

    # --- requests --------------------------------------------------------------------------------

    def _accept(self, request: Request) -> Record:
        body = json_body(request)
        sent = contract.parse_body(body)
        webhook = self._generations.webhooks.parse(sent)
        profile = contract.chosen_profile(sent, self._generations.profiles)
        generation = contract.validate_request(_without_webhook(sent), profile)
        return self._generations.accept(request, generation, sent, webhook)

    def _state(self, model: Model) -> views.EndpointHealth:
        state = asdict(self._generations.state(model.profile.id))
        del state["busy_seconds"]  # in the messages of jobs
        return views.EndpointHealth(**state, usd_per_hour=model.usd_per_hour)

    def _features(self, profile: ModelProfile) -> list[views.Feature]:
        features: dict[views.Feature, bool] = {
            "image_to_image": profile.image_to_image,
            "inpaint": profile.image_to_image,
            "embed_parameters": True,
            "preview": self._jobs.endpoints.default.has_previews,
            "cancel_running": self._jobs.endpoints.default.stops_jobs,
            "webhooks": bool(self._generations.webhooks.events),
            "weighted_prompts": profile.clip_layers is not None,
            "clip_skip": profile.clip_layers is not None,
            "hires": profile.image_to_image,
        }
        return [name for name, supported in features.items() if supported]

    # --- responses -------------------------------------------------------------------------------

    @property
    def _views(self) -> JobViews:
        return JobViews(self._jobs.link, self._jobs.endpoints.default.reports_start)

    def _accepted(self, job: Job) -> Response:
        headers = {"location": f"jobs/{job.ticket.id}", "retry-after": "2"}
        return _json(self._full_view(job), 202, headers)

    def _full_view(self, job: Job) -> views.Job:
        """Return the view with the state and progress of the endpoint, which cost a call each."""
        if job.outcome:
            return self._views.job(job)
        return self._views.job(job, self._generations.state(job.model), self._jobs.progress(job))

    def _generated(self, job: Job, outcome: Outcome) -> Response:
        """Return the images in the body if they fit, else links and a warning."""
        view = views.Generated(
            id=job.ticket.id,
            generated_images=[],
            seeds=[image.seed for image in outcome.images],
            parameters=parameters_of(job),
            timings=dict(outcome.timings),
            warnings=list(outcome.warnings),
            images=self._views.images(job),
        )
        encoded = self._generations.inline(job, encoded_size(render(_json(view), "")))
        if encoded is None:
            return _json(view.model_copy(update={"warnings": [*view.warnings, _TOO_LARGE]}))
        return _json(view.model_copy(update={"generated_images": encoded}))


def _json(view: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, view.model_dump_json(), headers=headers or {})


def _without_webhook(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the container gets too."""
    return {name: value for name, value in sent.items() if name not in contract.WEBHOOK_FIELDS}


def _limit(request: Request) -> int:
    values = set(request.query.get("limit", ())) or {str(JOBS_LIMIT.maximum // 2)}
    text = values.pop()
    limit = int(text) if re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) else 0
    if values or not JOBS_LIMIT.minimum <= limit <= JOBS_LIMIT.maximum:
        allowed = f"{JOBS_LIMIT.minimum} to {JOBS_LIMIT.maximum}"
        refuse("out_of_range", "limit", f"limit is not an integer from {allowed}", f"Send {allowed}.")
    return limit


def _model(profile: ModelProfile, features: list[views.Feature], state: views.EndpointHealth) -> views.Model:
    return views.Model(
        id=profile.id,
        name=profile.name,
        licence=profile.licence,
        licence_url=profile.licence_url,
        sizes=[views.Size(width=width, height=height) for width, height in profile.sizes],
        defaults=_defaults(profile),
        bounds=_bounds(profile),
        schedulers=list(profile.schedulers),
        formats=list(contract.OUTPUT_FORMATS),
        features=features,
        content=list(profile.content),  # type: ignore[arg-type]  # pydantic checks it
        upscales=profile.upscales,
        suggestions=list(profile.suggestions),
        subjects=list(profile.subjects),
        subjects_in={"zh-CN": in_chinese(profile.subjects)},
        prompt_tokens=profile.prompt_tokens,
        presets=[_preset(preset) for preset in profile.presets],
        loras=[_lora(lora) for lora in profile.loras],
        controls=[_control(control) for control in profile.controls],
        control_without=list(profile.control_without),  # type: ignore[arg-type]  # pydantic checks it
        embeddings=[_embedding(embedding) for embedding in profile.embeddings],
        state=state,
        edits=profile.edits,
        takes_negative_prompt=profile.takes_negative_prompt,
        takes_guidance_scale=profile.takes_guidance_scale,
    )


def _preset(preset: contract.Preset) -> views.Preset:
    width, height = preset.size or (None, None)
    return views.Preset(
        name=preset.name,
        name_in={"zh-CN": preset.name_zh or preset.name},
        width=width,
        height=height,
        num_inference_steps=preset.steps,
        guidance_scale=preset.guidance_scale,
        scheduler=preset.scheduler,
        negative_prompt=preset.negative_prompt,
    )


def _lora(lora: contract.ProfileLora) -> views.Lora:
    name = lora.name or lora.id
    return views.Lora(
        id=lora.id,
        name=name,
        name_in={"zh-CN": lora.name_zh or name},
        scale=lora.scale,
        words=list(lora.words),
        scheduler=lora.scheduler,
        num_inference_steps=lora.steps,
        guidance_scale=lora.guidance_scale,
    )


def _control(control: contract.ProfileControl) -> views.Control:
    name = control.name or control.id
    return views.Control(
        id=control.id,
        name=name,
        name_in={"zh-CN": control.name_zh or name},
        scale=control.scale,
        preprocess="canny" if control.preprocess else None,
    )


def _embedding(embedding: contract.ProfileEmbedding) -> views.Embedding:
    name = embedding.name or embedding.id
    return views.Embedding(
        id=embedding.id,
        token=embedding.token or embedding.id,
        name=name,
        name_in={"zh-CN": embedding.name_zh or name},
    )


def _defaults(profile: ModelProfile) -> views.Defaults:
    width, height = profile.sizes[0]
    return views.Defaults(
        width=width,
        height=height,
        num_images_per_prompt=1,
        num_inference_steps=profile.steps,
        guidance_scale=profile.guidance_scale,
        scheduler=profile.scheduler,
        output_format=next(iter(contract.OUTPUT_FORMATS)),
        strength=contract.DEFAULT_STRENGTH,
        embed_parameters=False,
        prompt_syntax="plain",
        hires=views.HiresDefaults(scale=contract.DEFAULT_HIRES_SCALE, strength=contract.DEFAULT_HIRES_STRENGTH),
    )


def _bounds(profile: ModelProfile) -> views.Bounds:
    side = contract.Bound(contract.SIDE.minimum, min(contract.SIDE.maximum, profile.max_side))
    steps = {name: _range(contract.steps_bound(profile, name)) for name in profile.schedulers}
    return views.Bounds(
        width=_range(side),
        height=_range(side),
        side_multiple=contract.SIDE_MULTIPLE,
        prompts=_range(contract.PROMPTS),
        prompt_chars=_range(contract.PROMPT_CHARS),
        negative_prompt_chars=_range(contract.NEGATIVE_PROMPT_CHARS),
        images=_range(contract.IMAGES),
        num_inference_steps=steps[profile.scheduler],
        scheduler_steps=steps,
        guidance_scale=_range(contract.GUIDANCE),
        seed=_range(contract.SEED),
        deadline_ms=_range(contract.DEADLINE_MS),
        strength=_fraction(contract.STRENGTH),
        mask_blur=_range(contract.MASK_BLUR),
        outpaint=_range(contract.OUTPAINT),
        loras=_range(contract.LORAS),
        lora_scale=_fraction(contract.LORA_SCALE),
        lora_cost_percent=contract.LORA_COST_PERCENT,
        controls=_range(contract.Bound(contract.CONTROLS.minimum, profile.most_controls)),
        control_scale=_fraction(contract.CONTROL_SCALE),
        control_cost_percent=profile.control_cost_percent,
        clip_skip=_range(contract.clip_skip_bound(profile.clip_layers)) if profile.clip_layers else None,
        prompt_weight=_fraction(contract.PROMPT_WEIGHT),
        hires_scale=_fraction(contract.HIRES_SCALE),
        init_image_bytes=contract.INIT_IMAGE_BYTES,
        init_image_pixels=contract.INIT_IMAGE_PIXELS,
        edit_pixels=contract.EDIT_PIXELS,
        max_pixel_steps=profile.max_pixel_steps,
    )


def _fraction(bound: contract.FloatBound) -> views.Fraction:
    return views.Fraction(minimum=bound.minimum, maximum=bound.maximum)


def _range(bound: contract.Bound) -> views.Range:
    return views.Range(minimum=bound.minimum, maximum=bound.maximum)
