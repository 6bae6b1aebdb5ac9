"""Response bodies of the native API. The OpenAPI document takes its schemas from here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.problem_details import View

PromptSyntax = Literal["plain", "weighted"]
Content = Literal["refuse", "flag"]
ControlWithout = Literal["init_image", "mask_image", "strength", "hires", "range"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Timestamp = Annotated[str, Field(description="ISO 8601, UTC", examples=["2026-11-23T08:00:00.000Z"])]
Link = Annotated[str, Field(description="Absolute, or a path relative to the API's base URL")]


WebhookEvent = Literal["start", "completed"]
WebhookError = Literal[
    "address_not_public", "name_not_resolved", "connection_failed", "tls_failed", "timeout", "invalid_response",
    "redirect", "status",
]  # fmt: skip


class Progress(View):
    """Steps of the running job."""

    step: int
    steps: int
    preview: Annotated[str | None, Field(description="base64 of a small JPEG: the image so far")]


class Image(View):
    """An image file. The link works for 15 minutes."""

    url: Link
    seed: int
    width: int
    height: int
    media_type: str
    flagged: Annotated[bool, Field(description="The model's safety checker flagged the image; see `content`")]
    flagged_reason: Annotated[Literal["safety_checker"] | None, Field(description="What flagged it; null: nothing")]


class JobError(View):
    """Why a job has no images. `status` is the HTTP status that POST /generate responds with."""

    code: str
    status: int
    message: str
    hint: str
    param: str | None


class Urls(View):
    """GET `get` for the job's state; DELETE `cancel` to cancel it."""

    get: Link
    cancel: Link


class WebhookAttempt(View):
    """One attempt to deliver an event."""

    at: Timestamp
    seconds: float
    status: Annotated[int | None, Field(description="HTTP status of the response; null: none came")]
    error: Annotated[WebhookError | None, Field(description="null: it was delivered")]


class WebhookDelivery(View):
    """An event that has happened. `waiting`: for its first or next attempt."""

    event: WebhookEvent
    state: Literal["waiting", "delivered", "failed"]
    attempts: list[WebhookAttempt]


class Webhook(View):
    """Where the job's events are sent, and the deliveries so far."""

    url: Annotated[str, Field(description="Without path and query, which may contain a secret")]
    events: list[WebhookEvent]
    deliveries: list[WebhookDelivery]


class WebhookSecret(View):
    """The secret of your webhooks' signatures, for libraries of Standard Webhooks."""

    key: Annotated[str, Field(description="`whsec_` and base64 of 32 bytes")]


class Job(View):
    """The current state of a job."""

    id: str
    model: Annotated[str | None, Field(description="Id of the model; null: an older version did not record it")]
    status: Status
    message: Annotated[str, Field(description="The state in a sentence")]
    created_at: Timestamp
    started_at: Annotated[Timestamp | None, Field(description="null if not started, or unknown (async endpoints)")]
    completed_at: Timestamp | None
    progress: Progress | None
    parameters: dict[str, Any]
    seeds: list[int]
    images: list[Image]
    timings: dict[str, float]
    warnings: list[str]
    error: JobError | None
    urls: Urls
    webhook: Webhook | None


class Jobs(View):
    """The caller's newest jobs, newest first."""

    jobs: list[Job]


class Generated(View):
    """The images of a job that ended within the wait. If they are too large, `generated_images` is empty: use the
    links in `images`."""

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
    """Smallest and largest allowed number, both included."""

    minimum: float
    maximum: float


class Range(View):
    """Smallest and largest allowed integer, both included."""

    minimum: int
    maximum: int


class HiresDefaults(View):
    """Values that `hires` of a request leaves out. Its steps are those of the request."""

    scale: float
    strength: float


class Defaults(View):
    """Values of the fields that a request leaves out."""

    width: int
    height: int
    num_images_per_prompt: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    output_format: str
    strength: float
    embed_parameters: bool
    prompt_syntax: PromptSyntax
    hires: Annotated[HiresDefaults, Field(description="Of a second pass, where one is requested")]


class Bounds(View):
    """`max_pixel_steps` limits width x height x steps x images, with hires those of both passes together; with an
    init_image or in a second pass only the steps that run count.
    Width and height are multiples of `side_multiple`. `init_image_pixels` is the maximum of each image that is sent,
    `init_image_bytes` that of all of them together. Each of `images` adds `edit_pixels` to width x height in the work.
    `num_inference_steps` is the range of the default scheduler; `scheduler_steps` has the range of each."""

    width: Range
    height: Range
    side_multiple: int
    prompts: Range
    prompt_chars: Range
    negative_prompt_chars: Range
    images: Range
    num_inference_steps: Range
    scheduler_steps: Annotated[dict[str, Range], Field(description="Range of num_inference_steps by scheduler")]
    guidance_scale: Range
    seed: Range
    deadline_ms: Range
    strength: Fraction
    mask_blur: Range
    outpaint: Annotated[Range, Field(description="Pixels at one side")]
    loras: Annotated[Range, Field(description="LoRAs of one request")]
    lora_scale: Fraction
    lora_cost_percent: Annotated[int, Field(description="What each LoRA adds to the work; see `max_pixel_steps`")]
    controls: Annotated[Range, Field(description="ControlNets of one request")]
    control_scale: Fraction
    control_cost_percent: Annotated[int, Field(description="What each ControlNet adds to the work")]
    clip_skip: Annotated[Range | None, Field(description="null: the model has no such layers")]
    prompt_weight: Fraction
    hires_scale: Fraction
    init_image_bytes: int
    init_image_pixels: int
    edit_pixels: Annotated[int, Field(description="What each of images adds to width x height; see `max_pixel_steps`")]
    max_pixel_steps: int


class Preset(View):
    """Settings with a name, to offer to users: fields of a request. null: the model's default."""

    name: str
    name_in: Annotated[dict[Literal["zh-CN"], str], Field(description="`name` in other languages")]
    width: Annotated[int | None, Field(description="null, with `height`: any size")]
    height: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    scheduler: str | None
    negative_prompt: str | None


class Lora(View):
    """A LoRA that requests may use. Its settings are the defaults of a request that has it; null: the model's."""

    id: str
    name: str
    name_in: Annotated[dict[Literal["zh-CN"], str], Field(description="`name` in other languages")]
    scale: Annotated[float, Field(description="The scale of a request that sets none")]
    words: Annotated[list[str], Field(description="Trigger words: what a prompt should contain")]
    scheduler: str | None
    num_inference_steps: int | None
    guidance_scale: float | None


class Control(View):
    """A ControlNet that requests may use."""

    id: str
    name: str
    name_in: Annotated[dict[Literal["zh-CN"], str], Field(description="`name` in other languages")]
    scale: Annotated[float, Field(description="The scale of a request that sets none")]
    preprocess: Annotated[
        Literal["canny"] | None,
        Field(description="What makes its map of an ordinary image, if a request says so; null: maps are sent"),
    ]


class Embedding(View):
    """A textual-inversion embedding."""

    id: str
    token: Annotated[str, Field(description="A prompt or negative prompt that has it uses the embedding")]
    name: str
    name_in: Annotated[dict[Literal["zh-CN"], str], Field(description="`name` in other languages")]


Feature = Literal[
    "image_to_image", "inpaint", "embed_parameters", "preview", "cancel_running", "webhooks", "weighted_prompts",
    "clip_skip", "hires",
]  # fmt: skip


class EndpointHealth(View):
    """`asleep`: the next job starts an instance; `broken`: an operator must act."""

    status: Literal["ready", "asleep", "starting", "broken", "unknown"]
    detail: str
    wake_minutes: Annotated[
        tuple[int, int] | None,
        Field(description="Usual minutes until it is ready, from and to; null: at once, or unknown"),
    ]
    usd_per_hour: Annotated[
        float | None,
        Field(description="About what an hour of one instance costs while it is not asleep; null: nothing, or unknown"),
    ]


class Model(View):
    """A deployed model: what it supports, its defaults, and whether it can run jobs."""

    id: str
    name: str
    licence: str
    licence_url: Annotated[str, Field(description="Web address of the licence text; empty if unknown")]
    sizes: Annotated[list[Size], Field(description="Recommended sizes; the first is the default")]
    defaults: Defaults
    bounds: Bounds
    schedulers: list[str]
    formats: list[str]
    features: Annotated[
        list[Feature],
        Field(
            description="Optional features that are available here: init_image, mask_image and outpaint, "
            "embed_parameters, previews, DELETE /jobs/{id} of a running job, webhooks, prompt_syntax weighted, "
            "clip_skip, and hires"
        ),
    ]
    content: Annotated[
        list[Content], Field(description="Values of `content` that a request may have; empty: no safety checker")
    ]
    upscales: Annotated[
        bool, Field(description="Generates at its first size; the image is then scaled to the requested size")
    ]
    suggestions: Annotated[list[str], Field(description="Example prompts")]
    subjects: Annotated[
        list[str], Field(description="All things that a small model can generate; empty: no such limit")
    ]
    subjects_in: Annotated[
        dict[Literal["zh-CN"], list[str]], Field(description="`subjects` in other languages, in the same order")
    ]
    prompt_tokens: Annotated[
        int | None,
        Field(description="Tokens of a prompt that the text encoder reads; null: as many as a prompt may have"),
    ]
    presets: Annotated[list[Preset], Field(description="Named settings to offer to users")]
    loras: Annotated[list[Lora], Field(description="LoRAs that requests may use")]
    controls: Annotated[list[Control], Field(description="ControlNets that requests may use")]
    control_without: Annotated[
        list[ControlWithout],
        Field(
            description="What the model does not take together with control. init_image: one without a mask; "
            "mask_image: a mask or margins; strength: one below 1; range: a start or an end of a ControlNet"
        ),
    ]
    embeddings: Annotated[list[Embedding], Field(description="Embeddings that prompts may use")]
    state: EndpointHealth
    edits: Annotated[int, Field(description="The most images to look at (`images`) of one request; 0: none")]
    takes_negative_prompt: Annotated[bool, Field(description="If not, a negative_prompt is ignored with a warning")]
    takes_guidance_scale: Annotated[
        bool, Field(description="If not, a guidance_scale other than the default is ignored with a warning")
    ]


class Models(View):
    """The deployed models. The first generates requests that name none."""

    models: list[Model]


class Health(View):
    """`ok` if new jobs of every model will run. `model` and `endpoint` are those of requests that name no model."""

    status: Literal["ok", "degraded"]
    model: str
    endpoint: EndpointHealth
    models: Annotated[dict[str, EndpointHealth], Field(description="The endpoint of each model, by its id")]


class Usage(View):
    """What the caller has used. Days and months are those of UTC in which jobs were accepted; jobs that have not ended
    count with what they have reserved. A quota of null: no limit."""

    images_today: int
    images_a_day: Annotated[int | None, Field(description="Quota of images")]
    images_this_month: int
    images_reserved: Annotated[int, Field(description="Images of jobs of this month that have not ended")]
    gpu_seconds_this_month: float
    gpu_seconds_a_month: Annotated[int | None, Field(description="Quota of GPU time")]
    usd_this_month: Annotated[
        float | None,
        Field(
            description="Price of the GPU time in us-east-1, without idle time, of each model on its own instance. "
            "What is reserved has the highest price. null: not known"
        ),
    ]
    day_ends_at: Timestamp
    month_ends_at: Timestamp
