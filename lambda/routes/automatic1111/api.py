"""The part of AUTOMATIC1111's API that clients need to generate images: `/sdapi/v1/…`."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract import EaselError, ModelProfile, dumps, image_size, parse_body, refuse
from gateway.bodies import json_body
from gateway.events import Request, Response
from gateway.router import Route
from jobs.records import Job, Record
from routes.api import Api, Documentation, explain
from routes.automatic1111 import views
from routes.automatic1111.checkpoints import Checkpoints
from routes.automatic1111.fields import ImageRequest, parse
from routes.automatic1111.samplers import sampler_views, schedule_views
from routes.generations import Generations
from routes.lenient import base64_of

RECENT = 8
"""The caller's newest jobs, among which /progress and /interrupt find the unfinished."""


class Automatic1111Api(Api):
    """Implements `routes.api.Api`."""

    paths = re.compile("/sdapi/")
    waiting = re.compile("/sdapi/v1/(txt2img|img2img)")

    def __init__(self, generations: Generations) -> None:
        self._generations, self._jobs = generations, generations.jobs
        self._checkpoints = Checkpoints(generations.profiles, generations.jobs.store)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/sdapi/v1/txt2img", self.txt2img),
            Route("POST", "/sdapi/v1/img2img", self.img2img),
            Route("GET", "/sdapi/v1/progress", self.progress),
            Route("POST", "/sdapi/v1/interrupt", self.interrupt),
            Route("POST", "/sdapi/v1/skip", self.skip),
            Route("POST", "/sdapi/v1/png-info", self.png_info),
            Route("GET", "/sdapi/v1/options", self._of_model(views.options_view)),
            Route("POST", "/sdapi/v1/options", self.set_options),
            Route("GET", "/sdapi/v1/sd-models", _constant(views.model_views(self._checkpoints.profiles))),
            Route("GET", "/sdapi/v1/samplers", self._of_model(lambda model: sampler_views(model.schedulers))),
            Route("GET", "/sdapi/v1/schedulers", self._of_model(lambda model: schedule_views(model.schedulers))),
            Route("GET", "/sdapi/v1/scripts", _constant({"txt2img": [], "img2img": []})),
            Route("GET", "/sdapi/v1/upscalers", self._of_model(views.upscaler_views)),
            Route("GET", "/sdapi/v1/latent-upscale-modes", _constant([])),
            Route("GET", "/sdapi/v1/sd-vae", _constant([])),
            Route("GET", "/sdapi/v1/loras", self._of_model(views.lora_views)),
            Route("GET", "/sdapi/v1/embeddings", self._of_model(views.embedding_views)),
        ]

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        return views.error_response(error)

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        from routes.openapi_parts import automatic1111

        return Documentation(automatic1111())

    def txt2img(self, request: Request) -> Response:
        """Generate images from text, and wait for them."""
        return self._generate(request, from_image=False)

    def img2img(self, request: Request) -> Response:
        """Generate images from an image, and wait for them."""
        return self._generate(request, from_image=True)

    def progress(self, request: Request) -> Response:
        """Return steps and preview of the caller's running job."""
        unfinished = self._unfinished(request.owner)
        without_preview = request.query.get("skip_current_image") == ("true",)
        for job in unfinished:
            if progress := self._jobs.progress(job):
                shown = replace(progress, preview=None) if without_preview else progress
                return _json(views.progress_view(unfinished, job, shown, ""))
        text = self._generations.state(unfinished[0].model).detail if unfinished else ""
        return _json(views.progress_view(unfinished, None, None, text))

    def interrupt(self, request: Request) -> Response:
        """Cancel the caller's running job, or else the next."""
        self._cancel(request.owner)
        return _json({})

    def skip(self, request: Request) -> Response:
        """Cancel like `interrupt`: the images of a job cannot be skipped singly."""
        self._cancel(request.owner)
        return _json(None)

    def png_info(self, request: Request) -> Response:
        """Return the parameters in an image file."""
        from routes.automatic1111.png_info import parse_infotext, read_texts

        image = parse_body(json_body(request)).get("image")
        hint = "Send base64 of a PNG, WebP or JPEG file."
        if not isinstance(image, str):
            refuse("missing_field", "image", "image is missing", hint)
        try:
            file = base64.b64decode(base64_of(image), validate=True)
        except ValueError:
            file = b""
        if not image_size(file):
            refuse("bad_image", "image", "image is not an image file", hint)
        texts = read_texts(file)
        infotext = texts.get("parameters", "")
        return _json({"info": infotext, "items": texts, "parameters": parse_infotext(infotext)})

    def set_options(self, request: Request) -> Response:
        """Accept any options, and keep only the model: a request has its own. Refuse one that is not deployed."""
        model = parse_body(json_body(request)).get("sd_model_checkpoint")
        if model:
            self._checkpoints.choose(request.owner, model)
        return _json(None)

    def _of_model(self, view: Callable[[ModelProfile], Any]) -> Callable[[Request], Response]:
        """Return a route that shows something of the caller's model."""
        return lambda request: _json(view(self._checkpoints.chosen(request.owner)))

    def _generate(self, request: Request, *, from_image: bool) -> Response:
        sent = parse_body(json_body(request))
        image_request = parse(sent, self._checkpoints, request.owner, from_image=from_image)
        warnings = image_request.warnings
        record = self._generations.accept(request, image_request.generation, sent, warnings=warnings)
        try:
            job = self._generations.finish(request, record)
        except EaselError as error:
            if error.code != "content_filtered":
                raise
            return self._filtered(record, replace(image_request, warnings=(*warnings, explain(error))))
        info = views.info(job, image_request, job.model)
        images: list[str] | None = []
        if image_request.send_images:
            others = views.images_body([], image_request, info).encode("utf-8", "replace")
            images = self._generations.inline(job, 2 * len(others))
        if images is None:
            hint = f"GET /jobs/{job.ticket.id} returns links to them; request fewer images at a time."
            raise EaselError("images_too_large", "the images are too large for one response", hint=hint)
        return Response(200, views.images_body(images, image_request, info))

    def _filtered(self, record: Record, image_request: ImageRequest) -> Response:
        """Return black images, as AUTOMATIC1111's safety filter does: its clients show no reason of errors."""
        generation = record.request
        images = [views.black_png(*generation.result_size)] * generation.image_count
        details = views.info(self._jobs.get(record.ticket), image_request, record.model)
        return Response(200, views.images_body(images if image_request.send_images else [], image_request, details))

    def _unfinished(self, owner: str) -> list[Job]:
        """Return the caller's unfinished jobs, the oldest first: it runs, or is the next."""
        return [job for job in reversed(self._jobs.recent(owner, RECENT)) if not job.outcome]

    def _cancel(self, owner: str) -> None:
        for job in self._unfinished(owner)[:1]:
            with suppress(EaselError):  # it has just ended, or cannot be stopped: clients expect no error
                self._jobs.cancel(job.ticket)


def _json(value: Any) -> Response:
    return Response(200, dumps(value))


def _constant(value: Any) -> Callable[[Request], Response]:
    response = _json(value)
    return lambda request: response
