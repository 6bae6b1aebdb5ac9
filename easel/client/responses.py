"""Parse everything that an API's server sends.

The server is not trusted: it may be another program, and others may change plain HTTP on its way. So each value is
checked for type, size and form before it is printed or becomes part of a path. Unknown fields are ignored: servers may
be newer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from easel.client import contract
from easel.client.contract import IMAGES, SEED
from easel.client.errors import InvalidResponseError

JSON_BYTES = 2 * 2**20
"""Largest JSON response. A job with 8 prompts and a preview has about 200 KB."""
IMAGE_BYTES = 64 * 2**20
"""Largest image file. A PNG of 2048×2048 pixels has at most 13 MB."""
DEPTH = 16
"""Deepest nesting of objects and lists."""
SUFFIXES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}
"""Media types of images to the suffix of their files."""
PROBLEM_CHARS = 2_000
"""Longest text of an error that is shown."""

Text = Annotated[str, Field(max_length=10_000)]
Texts = Annotated[list[Text], Field(max_length=10_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class _Object(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


Parsed = TypeVar("Parsed", bound=_Object)


class ProgressState(_Object):
    """Finished and all steps of a running job, and base64 of a small JPEG: the image so far."""

    step: Count
    steps: Count
    preview: Annotated[str, Field(max_length=2**20)] | None = None


class ImageLink(_Object):
    """One image of a job, behind a signed link."""

    url: Text
    seed: Annotated[int, Field(ge=SEED.minimum, le=SEED.maximum)]
    width: Count
    height: Count
    media_type: Literal["image/png", "image/webp", "image/jpeg"]
    flagged: bool = False
    flagged_reason: Text | None = None


class ErrorState(_Object):
    """Why a job failed."""

    code: Text
    message: Text
    hint: Text
    param: Text | None = None
    status: Annotated[int, Field(ge=100, le=599)] | None = None


class Parameters(_Object):
    """The request with every default filled in. Further fields are kept."""

    model_config = ConfigDict(extra="allow")

    prompt: Annotated[list[Text], Field(min_length=1)]
    num_images_per_prompt: Annotated[int, Field(ge=1)]


class JobState(_Object):
    """A job in the form of GET /jobs/{id}."""

    id: Annotated[str, Field(pattern=r"\A[0-9a-f]{44}\z")]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    message: Text
    created_at: Text = ""
    progress: ProgressState | None
    parameters: Parameters
    images: Annotated[list[ImageLink], Field(max_length=IMAGES.maximum)]
    timings: Annotated[dict[Text, float], Field(max_length=100)]
    warnings: Annotated[list[Text], Field(max_length=100)]
    error: ErrorState | None

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    def prompt_of(self, image: int) -> str:
        """Return the prompt of the image with this index: images are ordered prompt by prompt."""
        prompts = self.parameters.prompt
        return prompts[min(image // self.parameters.num_images_per_prompt, len(prompts) - 1)]


class JobList(_Object):
    """The newest jobs, in the form of GET /jobs."""

    jobs: Annotated[list[JobState], Field(max_length=1_000)]


class Size(_Object):
    """Pixels."""

    width: Count
    height: Count


class EndpointHealth(_Object):
    """`status`: ready, asleep (the next job starts it), starting, broken or unknown.

    `wake_minutes`: the least and the most minutes until it is ready, if that is known.
    """

    status: Text
    detail: Text = ""
    wake_minutes: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None


class Model(_Object):
    """A model of the service: what it supports, its defaults, and its state if the service says it. `bounds` and
    `defaults` are those of GET /models."""

    id: Text
    name: Text
    licence: Text
    licence_url: Text = ""
    sizes: Annotated[list[Size], Field(max_length=1_000)]
    defaults: dict[Text, Any]
    bounds: dict[Text, Any]
    schedulers: Texts
    formats: Texts
    features: Texts
    upscales: bool = False
    suggestions: Texts = []
    subjects: Texts = []
    prompt_tokens: Count | None = None
    loras: Annotated[list[dict[Text, Any]], Field(max_length=1_000)] = []
    state: EndpointHealth | None = None
    controls: Annotated[list[dict[Text, Any]], Field(max_length=1_000)] = []
    embeddings: Annotated[list[dict[Text, Any]], Field(max_length=1_000)] = []
    edits: Count = 0
    takes_negative_prompt: bool = True
    takes_guidance_scale: bool = True


class ModelList(_Object):
    """The models of the service, in the form of GET /models."""

    models: Annotated[list[Model], Field(min_length=1, max_length=1_000)]


class Health(_Object):
    """`status` is `ok` if a new job will run, else `degraded`."""

    status: Text
    model: Text
    endpoint: EndpointHealth


class Problem(_Object):
    """An error document (RFC 9457), or a gateway's own `{"message": …}`. Missing or invalid fields are empty."""

    title: str = ""
    detail: str = ""
    hint: str = ""
    code: str = ""
    params: tuple[str, ...] = ()
    request_id: str = ""
    retryable: bool = True


def parse_job(body: bytes) -> JobState:
    """Parse a job. Raises InvalidResponseError."""
    job = parse(JobState, body)
    if job.status == "succeeded" and not job.images:
        raise InvalidResponseError("the job has succeeded, but has no images")
    return job


def parse(kind: type[Parsed], body: bytes) -> Parsed:
    """Parse a response of this kind. Raises InvalidResponseError."""
    try:
        return kind.model_validate(_parse_object(body))
    except ValidationError as error:
        fields = ", ".join(dict.fromkeys(str(item["loc"][0]) for item in error.errors() if item["loc"]))
        raise InvalidResponseError(f"the response is not a {kind.__name__}: {fields}") from None


def parse_problem(body: bytes) -> Problem:
    """Parse the body of an error response. Any body is accepted: it may come from a proxy."""
    try:
        value = _parse_object(body)
    except InvalidResponseError:
        return Problem()
    params = value.get("invalid_params")
    names = [_text(param, "name") for param in params if isinstance(param, dict)] if isinstance(params, list) else []
    return Problem(
        title=_text(value, "title"),
        detail=_text(value, "detail") or _text(value, "message"),
        hint=_text(value, "hint"),
        code=_text(value, "code"),
        params=tuple(name for name in names[:10] if name),
        request_id=_text(value, "request_id"),
        retryable=value.get("retryable") is not False,
    )


def check_image(body: bytes, media_type: str) -> None:
    """Check that the file begins as its media type demands. Raises InvalidResponseError."""
    begins = {
        "image/png": body.startswith(b"\x89PNG\r\n\x1a\n"),
        "image/webp": body.startswith(b"RIFF") and body[8:12] == b"WEBP",
        "image/jpeg": body.startswith(b"\xff\xd8\xff"),
    }
    if not begins[media_type]:
        raise InvalidResponseError(f"the file is not {media_type}")


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = contract.loads(body)
    except contract.EaselError as error:
        raise InvalidResponseError(error.message) from None
    if not isinstance(value, dict) or _depth(value) > DEPTH:
        raise InvalidResponseError("the response is not a JSON object of an API")
    return value


def _depth(value: Any, seen: int = 0) -> int:
    """Return the depth of nesting, or `DEPTH` + 1 as soon as it is larger."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return seen if seen > DEPTH else max((_depth(item, seen + 1) for item in items), default=seen)


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    return text[:PROBLEM_CHARS] if isinstance(text, str) else ""
