"""The routes of OpenAI's Images API."""

from __future__ import annotations

import re

from contract import EaselError, ModelProfile, dumps, refuse
from gateway.events import Request, Response
from gateway.router import Route
from jobs.records import Job, Outcome, Record
from routes.api import Api, Documentation
from routes.generations import Generations
from routes.openai import responses
from routes.openai.fields import ImageRequest, read
from routes.openai.responses import OpenAIError

_ATTEMPT = re.compile(r"[0-9]{1,3}", re.ASCII)
_RETRIES_REGARDLESS = re.compile(r"\bai-sdk\b")
"""User agents of clients that send a request again after each 409, 429 and 5xx, whatever x-should-retry says."""
_FINAL = 424
"""Status for them in place of one that they retry. No client retries it."""


class OpenAIApi(Api):
    """Implements `routes.api.Api`."""

    paths = re.compile(r"/v1(/|$)")
    waiting = re.compile("/v1/images/(generations|edits)")

    def __init__(self, generations: Generations) -> None:
        self._generations, self._profiles = generations, generations.profiles

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/images/generations", self.images),
            Route("POST", "/v1/images/edits", self.images),
            Route("GET", "/v1/models", self.models),
            Route("GET", "/v1/models/<id>", self.model),
        ]

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        return responses.render_error(error)

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        from routes.openai import openapi

        return Documentation(openapi.paths(profile), openapi.schemas())

    # --- routes ----------------------------------------------------------------------------------

    def images(self, request: Request) -> Response:
        """Generate images and wait for them. With `Prefer: respond-async`, return 202 with the id of the job."""
        try:
            wanted = read(request, self._profiles)
            if not _repeats_regardless(request) or request.header("idempotency-key"):
                return self._images(request, wanted)
            with self._generations.attempt(request, wanted.sent) as key:
                return self._images(request, wanted, key)
        except EaselError as error:
            raise _for_client(request, error) from error.__cause__

    def models(self, request: Request) -> Response:
        """Return the models; the first is the default."""
        data = [responses.model_view(profile.id) for profile in self._profiles]
        return Response(200, dumps({"object": "list", "data": data}))

    def model(self, request: Request, id: str) -> Response:
        """Return the model of this id."""
        ids = [profile.id for profile in self._profiles]
        if id not in ids:
            refuse("not_found", "model", f"the model {id[:80]!r} is not deployed", f"Use {' or '.join(ids)}.")
        return Response(200, dumps(responses.model_view(id)))

    # --- inside ----------------------------------------------------------------------------------

    def _images(self, request: Request, wanted: ImageRequest, key: str = "") -> Response:
        record = self._record(request, wanted, key)
        if "respond-async" in (request.header("prefer") or ""):
            started = {"id": record.ticket.id, "stream": wanted.stream, "partial_images": wanted.partial_images}
            return Response(202, dumps(started))
        job = self._generations.wait(request, record)
        if not job.outcome:
            raise self._unfinished(request, wanted, record)
        return self._response(request, wanted, job, job.outcome)

    def _record(self, request: Request, wanted: ImageRequest, key: str) -> Record:
        """Return the job of an earlier attempt, or start a job."""
        attempt = _attempt(request)
        earlier = self._generations.resume(request, wanted.sent, attempt) if attempt else None
        return earlier or self._generations.accept(
            request, wanted.generation, wanted.sent, warnings=wanted.warnings, key=key
        )

    def _unfinished(self, request: Request, wanted: ImageRequest, record: Record) -> EaselError:
        """Return why the images are not ready. A client that will send the request again gets the same job then."""
        id, state = record.ticket.id, self._generations.state(record.model)
        later = f"GET /jobs/{id} has the images later."
        if state.status not in ("asleep", "starting"):
            message = f"the images take longer than one response may; the job {id} goes on"
            return OpenAIError(EaselError("use_jobs", message, hint=later), 400, id)
        attempt = _attempt(request)
        if attempt is not None:
            self._generations.offer(record, wanted.sent, attempt + 1)
        usual = ", usually for {} to {} minutes".format(*state.wake_minutes) if state.wake_minutes else ""
        error = EaselError("model_loading", f"the model is starting{usual}; the job {id} waits for it", hint=later)
        return OpenAIError(error, error.kind.status, id)

    def _response(self, request: Request, wanted: ImageRequest, job: Job, outcome: Outcome) -> Response:
        if error := outcome.exception():
            raise OpenAIError(error, 500 if error.kind.status >= 500 else 400, job.ticket.id)
        render = responses.stream if wanted.stream else responses.images
        if wanted.links and not wanted.stream:
            links = [self._link(request, job, image.name) for image in outcome.images]
            return render(wanted, job, outcome, job.model or self._profiles[0].id, [{"url": link} for link in links])
        encoded = self._generations.inline(job, 0)
        if encoded is None:
            message = f"the images are too large for one response; the job {job.ticket.id} has them"
            hint = f"GET /jobs/{job.ticket.id}, or send response_format url, output_format webp or a smaller n or size."
            raise OpenAIError(EaselError("images_too_large", message, hint=hint), 400, job.ticket.id)
        return render(wanted, job, outcome, job.model or self._profiles[0].id, [{"b64_json": text} for text in encoded])

    def _link(self, request: Request, job: Job, name: str) -> str:
        link = self._generations.jobs.link(job.ticket, name)
        return f"{request.base_url}{link}" if link.startswith("/") else link


def _attempt(request: Request) -> int | None:
    """Return how often this request was sent before, if the client counts that."""
    count = request.header("x-stainless-retry-count") or ""
    return int(count) if _ATTEMPT.fullmatch(count) and not request.header("idempotency-key") else None


def _for_client(request: Request, error: EaselError) -> EaselError:
    """Return the error with a status that the client does not answer by starting the job again."""
    status = error.status if isinstance(error, OpenAIError) else error.kind.status
    job = error.job if isinstance(error, OpenAIError) else ""
    final = (job or not error.kind.retryable) and (status >= 500 or status in (409, 429))
    return OpenAIError(error, _FINAL, job) if final and _repeats_regardless(request) else error


def _repeats_regardless(request: Request) -> bool:
    return bool(_RETRIES_REGARDLESS.search(request.header("user-agent") or ""))
