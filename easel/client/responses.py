"""Parse everything that an API's server sends.

The server is not trusted: it may be another program, and others may change plain HTTP on its way. So each value is
checked for type, size and form before it is printed or becomes part of a path. Unknown fields are ignored: servers may
be newer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract import IMAGES, SEED, EaselError, loads

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
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class InvalidResponseError(ValueError):
    """A response that is not what the API sends."""


class _Object(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Progress(_Object):
    """Finished and all steps of a running job."""

    step: Count
    steps: Count


class Image(_Object):
    """One image of a job, behind a signed link."""

    url: Text
    seed: Annotated[int, Field(ge=SEED.minimum, le=SEED.maximum)]
    width: Count
    height: Count
    media_type: Literal["image/png", "image/webp", "image/jpeg"]


class JobError(_Object):
    """Why a job failed."""

    code: Text
    message: Text
    hint: Text


class Parameters(_Object):
    """The request with every default filled in. Further fields are kept."""

    model_config = ConfigDict(extra="allow")

    prompt: Annotated[list[Text], Field(min_length=1)]
    num_images_per_prompt: Annotated[int, Field(ge=1)]


class Job(_Object):
    """A job in the form of GET /jobs/{id}."""

    id: Annotated[str, Field(pattern=r"\A[0-9a-f]{44}\z")]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    message: Text
    progress: Progress | None
    parameters: Parameters
    images: Annotated[list[Image], Field(max_length=IMAGES.maximum)]
    timings: Annotated[dict[Text, float], Field(max_length=100)]
    warnings: Annotated[list[Text], Field(max_length=100)]
    error: JobError | None

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    def prompt_of(self, image: int) -> str:
        """Return the prompt of the image with this index: images are ordered prompt by prompt."""
        prompts = self.parameters.prompt
        return prompts[min(image // self.parameters.num_images_per_prompt, len(prompts) - 1)]


class Problem(_Object):
    """An error document (RFC 9457), or a gateway's own `{"message": …}`. Missing or invalid fields are empty."""

    title: str = ""
    detail: str = ""
    hint: str = ""
    code: str = ""
    params: tuple[str, ...] = ()
    retryable: bool = True


def parse_job(body: bytes) -> Job:
    """Parse a job. Raises InvalidResponseError."""
    try:
        job = Job.model_validate(_parse_object(body))
    except ValidationError as error:
        fields = ", ".join(dict.fromkeys(str(item["loc"][0]) for item in error.errors() if item["loc"]))
        raise InvalidResponseError(f"the response is not a job: {fields}") from None
    if job.status == "succeeded" and not job.images:
        raise InvalidResponseError("the job has succeeded, but has no images")
    return job


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
        value = loads(body)
    except EaselError as error:
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
