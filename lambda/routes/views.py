"""What the API answers. The OpenAPI document takes its response schemas from here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.problem_details import View

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Moment = Annotated[str, Field(description="ISO 8601, UTC", examples=["2026-11-23T08:00:00.000Z"])]
Link = Annotated[str, Field(description="Absolute, or a path to put behind the API's base URL")]


class Progress(View):
    """Steps of the running call."""

    step: int
    steps: int
    preview: Annotated[str | None, Field(description="base64 of a small JPEG: the picture so far")]


class Image(View):
    """One picture. The link lives 15 minutes."""

    url: Link
    seed: int
    width: int
    height: int
    media_type: str


class JobError(View):
    """Why a job has no pictures; `status` is what POST /generate answers with."""

    code: str
    status: int
    message: str
    hint: str
    param: str | None


class Urls(View):
    """GET the one, DELETE the other."""

    get: Link
    cancel: Link


class Job(View):
    """A job as it stands."""

    id: str
    status: Status
    message: Annotated[str, Field(description="What is going on, in a sentence")]
    created_at: Moment
    started_at: Annotated[Moment | None, Field(description="null where nobody can know")]
    completed_at: Moment | None
    progress: Progress | None
    parameters: dict[str, Any]
    seeds: list[int]
    images: list[Image]
    timings: dict[str, float]
    warnings: list[str]
    error: JobError | None
    urls: Urls


class Jobs(View):
    """The caller's newest jobs, newest first."""

    jobs: list[Job]


class Generated(View):
    """Pictures of a job that was waited for. `generated_images` is empty where they do not fit: take the links."""

    id: str
    generated_images: Annotated[list[str], Field(description="base64")]
    seeds: list[int]
    parameters: dict[str, Any]
    timings: Annotated[dict[str, float], Field(description="Seconds")]
    warnings: list[str]
    images: list[Image]


class Size(View):
    """Pixels."""

    width: int
    height: int


class Fraction(View):
    """Both ends are allowed."""

    minimum: float
    maximum: float


class Range(View):
    """Both ends are allowed."""

    minimum: int
    maximum: int


class Defaults(View):
    """What a request gets that leaves these open."""

    width: int
    height: int
    num_images_per_prompt: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    output_format: str
    strength: float
    embed_parameters: bool


class Bounds(View):
    """`budget` is the most that width x height x steps x images may be, where a strength leaves so many of the steps;
    sides are multiples of `side_multiple`. An init_image is a file of so many bytes and pixels at most."""

    width: Range
    height: Range
    side_multiple: int
    prompts: Range
    prompt_chars: Range
    negative_prompt_chars: Range
    images: Range
    num_inference_steps: Range
    guidance_scale: Range
    seed: Range
    deadline_ms: Range
    strength: Fraction
    init_image_bytes: int
    init_image_pixels: int
    budget: int


Feature = Literal["image_to_image", "embed_parameters", "preview"]


class Model(View):
    """The deployed model: what it draws well and what it takes."""

    id: str
    name: str
    licence: str
    licence_url: Annotated[str, Field(description="Where it can be read; empty: not told")]
    sizes: Annotated[list[Size], Field(description="Drawn well; the first is the default")]
    defaults: Defaults
    bounds: Bounds
    schedulers: list[str]
    formats: list[str]
    features: Annotated[
        list[Feature],
        Field(description="What not every model and deployment has: init_image, embed_parameters, previews of a job"),
    ]
    enlarges: Annotated[bool, Field(description="Draws at its first size and enlarges to the size asked for")]
    suggestions: Annotated[list[str], Field(description="Prompts to start from")]
    draws: Annotated[list[str], Field(description="All that it can draw; empty: whatever is asked")]
    draws_in: Annotated[
        dict[Literal["zh-CN"], list[str]], Field(description="`draws` in other languages, in the same order")
    ]


class Models(View):
    """The one model that is deployed."""

    models: list[Model]


class EndpointHealth(View):
    """`asleep` wakes by itself when a job comes; `broken` needs an operator."""

    status: Literal["ready", "asleep", "starting", "broken", "unknown"]
    detail: str


class Health(View):
    """`ok` where a job sent now will be drawn."""

    status: Literal["ok", "degraded"]
    model: str
    endpoint: EndpointHealth
