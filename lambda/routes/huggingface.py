"""Hugging Face's text-to-image and image-to-image: the response is the image file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from contract import OUTPUT_FORMATS, EaselError, ModelProfile, dumps, image_size, parse_body, refuse, validate_request
from gateway.bodies import json_body
from gateway.events import Request, Response
from gateway.problem_details import problem_headers
from gateway.router import Route
from routes.api import Api, Documentation, common_status, explain
from routes.generations import Generations, ModelLoadingError
from routes.lenient import OWN_FIELDS, LenientFields, base64_of, renamed
from routes.scheduler_names import native_scheduler

LOADING_SECONDS = 30
"""estimated_time where the endpoint does not say how long it takes to start."""
_SIZED = {"width", "height", "target_size"}
_USED = {
    "prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "scheduler", "seed", "strength", "loras",
    *_SIZED, *OWN_FIELDS,
}  # fmt: skip
_WITHOUT_EFFECT = {"num_images_per_prompt": (1,), "num_images": (1,), "provider": ("hf-inference",)}
"""Parameters that are ignored without a warning if they have this value."""


class HuggingFaceApi(Api):
    """Implements `routes.api.Api`."""

    paths = re.compile("/hf/")
    waiting = re.compile("/hf/([^/]+/)?(text|image)-to-image")

    def __init__(self, generations: Generations) -> None:
        self._generations, self._profiles = generations, generations.profiles

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/hf/text-to-image", self.text_to_image),
            Route("POST", "/hf/image-to-image", self.image_to_image),
            Route("GET", "/hf/text-to-image/health", self.health),
            Route("GET", "/hf/image-to-image/health", self.health),
            Route("POST", "/hf/<model>/text-to-image", self.text_to_image),
            Route("POST", "/hf/<model>/image-to-image", self.image_to_image),
            Route("GET", "/hf/<model>/text-to-image/health", self.health),
            Route("GET", "/hf/<model>/image-to-image/health", self.health),
        ]

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        """Return the error as one text. Never 503: some clients repeat it at once and without end."""
        status = common_status(error, invalid=422)
        text = explain(error)
        body: dict[str, Any] = {"error": f"{error.param[:80]}: {text}" if error.param and status == 422 else text}
        if error.code == "model_loading":
            body["estimated_time"] = error.seconds if isinstance(error, ModelLoadingError) else LOADING_SECONDS
        headers = {**problem_headers(error), "x-error-message": _header(body["error"])}
        if error.code == "content_filtered":
            status = 400
        return Response(504 if status == 503 else status, dumps(body), headers=headers)

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        from routes.openapi_parts import huggingface

        return Documentation(huggingface(tuple(OUTPUT_FORMATS.values())))

    def text_to_image(self, request: Request, model: str = "") -> Response:
        """Generate an image from text."""
        profile = self._named(model)
        return self._generate(request, profile, parse_body(json_body(request)))

    def image_to_image(self, request: Request, model: str = "") -> Response:
        """Generate an image from the image in `inputs`, or in the whole body."""
        profile = self._named(model)
        if image_size(request.body):
            return self._generate(request, profile, {}, base64.b64encode(request.body).decode())
        sent = parse_body(json_body(request))
        image = sent.get("inputs")
        if not isinstance(image, str):
            refuse("missing_field", "inputs", "inputs has no image", "Send base64 of a PNG, WebP or JPEG file.")
        return self._generate(request, profile, sent, base64_of(image))

    def health(self, request: Request, model: str = "") -> Response:
        """Return whether a new request will get an image."""
        state = self._generations.state(self._named(model).id)
        if state.status == "broken":
            raise EaselError("upstream_unavailable", state.detail or "the model cannot run")
        return Response(200, dumps({"status": "ok", "endpoint": state.status}))

    def _named(self, model: str) -> ModelProfile:
        """Return the profile of the model in the path, or of the default. Raises `not_found`."""
        ids = [profile.id for profile in self._profiles]
        if model and model not in ids:
            refuse("not_found", "model", f"the model {model[:80]!r} is not deployed", f"Use {' or '.join(ids)}.")
        return self._profiles[ids.index(model) if model else 0]

    def _generate(
        self, request: Request, profile: ModelProfile, sent: Mapping[str, Any], image: str | None = None
    ) -> Response:
        parameters = sent.get("parameters") or {}
        if not isinstance(parameters, dict):
            refuse("wrong_type", "parameters", "parameters must be an object", "Send {} or leave it out.")
        lenient = LenientFields(profile, self._profiles[0])
        lenient.loras(parameters.get("loras"))
        if image is None:
            lenient.text("prompt", sent.get("inputs"), "inputs")
        self._read(lenient, parameters, image)
        lenient.fields["output_format"] = _accepted_format(request)
        lenient.fit_response()
        try:
            generation = validate_request(lenient.fields, profile)
        except EaselError as error:
            raise renamed(error, {"init_image": "inputs", "images": "inputs"}) from None
        fields = {**sent, "inputs": image or sent.get("inputs")}
        record = self._generations.accept(request, generation, fields, warnings=lenient.warnings)
        job = self._generations.finish(request, record)
        (file,) = self._generations.files(job)
        warnings = [*lenient.warnings, *(job.outcome.warnings if job.outcome else ())]
        generated = job.record.request if job.record else generation  # an earlier one, by Idempotency-Key
        headers = {"x-model": job.model or profile.id, "x-seed": str(generated.seed)}
        if warnings:
            headers["x-warnings"] = _header("; ".join(warnings))
        return Response(200, file, OUTPUT_FORMATS[generated.output_format], headers)

    def _read(self, lenient: LenientFields, parameters: Mapping[str, Any], image: str | None) -> None:
        """Read the parameters of either task."""
        target = parameters.get("target_size")
        size = target if image and isinstance(target, dict) else parameters
        lenient.size(size.get("width"), size.get("height"))
        if name := parameters.get("scheduler"):
            lenient.scheduler(native_scheduler(str(name)), str(name), "scheduler")
        lenient.steps(parameters.get("num_inference_steps"), "num_inference_steps")
        lenient.guidance(parameters.get("guidance_scale"), "guidance_scale")
        lenient.seed(parameters.get("seed"), "seed")
        lenient.own_fields(parameters)
        lenient.text("negative_prompt", parameters.get("negative_prompt"), "negative_prompt")
        if image is not None:
            lenient.text("prompt", parameters.get("prompt"), "prompt")
            sized = any(size.get(side) is not None for side in ("width", "height"))
            lenient.edit([image], ("inputs", "strength"), parameters.get("strength"), sized=sized)
        elif parameters.get("strength"):
            lenient.ignore("strength", "there is no image to start from")
        for name, value in parameters.items():
            if name not in _USED and value and value not in _WITHOUT_EFFECT.get(name, ()):
                lenient.ignore(name[:80])


def _accepted_format(request: Request) -> str:
    """Return the first format that Accept names, or PNG."""
    for value in ",".join(request.headers.get("accept", ())).split(","):
        media_type = value.partition(";")[0].strip().lower()
        for name, own in OUTPUT_FORMATS.items():
            if media_type == own:
                return name
        if media_type in ("*/*", "image/*"):
            break
    return "png"


def _header(text: str) -> str:
    """Return a text as a header can carry it: without control characters, and without spaces at its ends."""
    return re.sub(r"[^\x20-\x7e]+", " ", text.encode("ascii", "backslashreplace").decode())[:1000].strip()
