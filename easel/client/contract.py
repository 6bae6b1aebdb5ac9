"""The messages of the API and of the model container: fields, bounds, defaults, cost and error codes.

Standard library only. `lambda/contract.py` is a byte-identical mirror of `model_code/contract.py`: `make mirror` writes
it and a test compares them, because each folder ships on its own.
New fields need a default, and a default is not written to JSON: old and new versions can then read each other.
"""

from __future__ import annotations

import base64
import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from itertools import groupby
from typing import Any, Literal, NoReturn, TypeVar


@dataclass(frozen=True)
class Bound:
    """Smallest and largest allowed integer, both included."""

    minimum: int
    maximum: int


@dataclass(frozen=True)
class FloatBound:
    """Smallest and largest allowed number, both included."""

    minimum: float
    maximum: float


SIDE = Bound(64, 2048)
"""Width and height in pixels."""
SIDE_MULTIPLE = 8
"""Width and height are multiples of this: the autoencoder of Stable Diffusion downscales by 8."""
STEPS = Bound(1, 150)
GUIDANCE = Bound(0, 30)
PROMPTS = Bound(1, 8)
IMAGES = Bound(1, 8)
"""Images of one request: prompts x num_images_per_prompt."""
PROMPT_CHARS = Bound(1, 2000)
NEGATIVE_PROMPT_CHARS = Bound(0, 2000)
SEED = Bound(0, 2**32 - 1)
DEADLINE_MS = Bound(1_000, 900_000)
"""Milliseconds, counted from when the container reads the request."""
STRENGTH = FloatBound(0.01, 1)
DEFAULT_STRENGTH = 0.8
INIT_IMAGE_BYTES = 3 * 2**20
"""Size of all files of a request together, before base64: init_image, mask_image, images and control images."""
INIT_IMAGE_PIXELS = 4096 * 4096
"""Width x height: 50 MB when decoded."""
MASK_MODES = ("white", "black", "transparent")
"""Which pixels of a mask_image are generated anew; the first is the default."""
MASK_BLUR = Bound(0, 64)
"""Pixels of the result over which what is generated fades in, inside of the mask."""
DEFAULT_MASK_BLUR = 4
OUTPAINT = Bound(0, SIDE.maximum - SIDE.minimum)
"""Pixels that are added at a side."""
OUTPAINT_SIDES = ("left", "right", "top", "bottom")
EDITS = Bound(1, 10)
"""Images to look at of one request. A model takes as many as its profile says."""
EDIT_PIXELS = 1024 * 1024
"""What each image to look at adds to width x height in the work: models scale larger ones down to so many pixels."""
EDIT_PROPORTION = 8
"""The most times that an image to look at may be longer than it is wide, or wider than it is long."""
EDIT_MULTIPLE = 16
"""Sides that follow the first image to look at are multiples of this, as all models that edit need them."""
LORAS = Bound(1, 4)
"""LoRAs of one request."""
LORA_SCALE = FloatBound(-4, 4)
LORA_COST_PERCENT = 10
"""What each LoRA adds to the work of a job."""
CONTROLS = Bound(1, 2)
"""ControlNets of one request."""
CONTROL_SCALE = FloatBound(0, 2)
CONTROL_RANGE = FloatBound(0, 1)
"""Part of the steps at which a ControlNet starts and ends."""
CONTROL_FIELDS = ("id", "image", "scale", "start", "end", "preprocess")
CONTROL_COST_PERCENT = 35
"""What each ControlNet adds to the work of a job, unless the profile has another value: at every step it computes the
first half of a UNet once more."""
CONTROL_WITHOUT = ("init_image", "mask_image", "strength", "hires", "range")
"""What a model may not take together with control: an init_image without a mask; a mask or margins; a strength below 1;
hires; a start and an end."""
PREPROCESSORS = ("canny",)
"""What can be made here of a control image, if it is not a map yet."""
PROMPT_SYNTAXES = ("plain", "weighted")
"""How prompts are read: as they are, or with AUTOMATIC1111's weights and BREAK; the first is the default."""
PROMPT_WEIGHT = FloatBound(-10, 10)
"""Weight of a part of a weighted prompt, all brackets around it together."""
PROMPT_CHUNKS = 8
"""The most inputs of the text encoder, of 75 tokens with CLIP, that a weighted prompt may fill."""
CLIP_SKIP = Bound(1, 12)
"""As AUTOMATIC1111 counts: 1 is the text encoder's last layer, 2 the one before it."""
HIRES_SCALE = FloatBound(1.5, 2)
DEFAULT_HIRES_SCALE = 2.0
DEFAULT_HIRES_STRENGTH = 0.5
HIRES_FIELDS = ("scale", "strength", "steps")
CONTENT = ("refuse", "flag")
"""What happens to images that the model's safety checker flags: the job fails, or they are returned with the flag. The
first is the default."""
_HEIF = {b"ftyp" + brand: "HEIC" for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")}
_OTHER_FORMATS = {
    **_HEIF, b"ftypavif": "AVIF", b"ftypavis": "AVIF", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF",
}  # fmt: skip
"""Formats that are not read, by the beginning of the file, or what follows its first four bytes."""
_ORIENTATION, _TURNED, _TIFF_INTEGERS = 0x0112, (5, 6, 7, 8), {1: 1, 3: 2, 4: 4}
"""EXIF: the tag, its values that swap width and height, and TIFF's types of integers with their bytes."""
_JPEG_SEGMENT = re.compile(rb"\xff+([^\xff\xda])(..)(?=.{5})", re.DOTALL)
"""Fill bytes, the marker and the length of a segment before the first scan."""
IMAGE_PARTS = 10_000
"""Segments of a JPEG that are read, or chunks of a PNG that contain pixels."""
BODY_BYTES = Bound(2, 65_536 + 4 * INIT_IMAGE_BYTES // 3)
"""Size of the request as JSON: room for an init_image and 8 prompts of 2,000 characters of 3 UTF-8 bytes each. Stays
under the 6 MB limits of a Lambda event (where the body may be base64) and of SageMaker's InvokeEndpoint."""

WEBHOOK_CHARS = Bound(1, 2000)
"""Length of a webhook's URL."""
WEBHOOK_EVENTS: tuple[Literal["start"], Literal["completed"]] = ("start", "completed")
"""What a webhook can report: the job has started, the job has ended."""
WEBHOOK_FIELDS = ("webhook", "webhook_events")
"""Fields of a request that the container never gets."""

_MODEL_ATTRIBUTE = "model="
"""Start of the CustomAttributes of a call of the endpoint; then the id of the model."""
OUTPUT_FORMATS: Mapping[str, str] = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
"""Format name to media type; the first is the default. An init_image has one of these formats too."""

SCHEDULERS = (
    "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "lcm", "lms", "pndm", "unipc",
    "flow_euler", "flow_heun",
)  # fmt: skip
"""All scheduler names. A model accepts those of its profile."""
SCHEDULER_STEPS: Mapping[str, int] = {"lcm": 50}
"""Most steps of schedulers that allow fewer than `STEPS`. LCM takes its timesteps out of a schedule of 50, the
`original_inference_steps` of diffusers."""


# --- errors --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorKind:
    """HTTP status, title, and whether the client may send the same request again."""

    status: int
    title: str
    retryable: bool = False


ERRORS: Mapping[str, ErrorKind] = {
    "invalid_json": ErrorKind(400, "The body is not JSON"),
    "expected_object": ErrorKind(400, "The body is not a JSON object"),
    "invalid_form": ErrorKind(400, "The body is not a form"),
    "missing_field": ErrorKind(400, "A field is missing"),
    "unknown_field": ErrorKind(400, "A field is unknown"),
    "wrong_type": ErrorKind(400, "A field has the wrong type"),
    "out_of_range": ErrorKind(400, "A field is out of range"),
    "not_multiple_of_8": ErrorKind(400, "Width or height is not a multiple of 8"),
    "unknown_value": ErrorKind(400, "A field has an unknown value"),
    "bad_text": ErrorKind(400, "A text is not usable"),
    "bad_image": ErrorKind(400, "An image is not usable"),
    "not_supported": ErrorKind(400, "The model does not support this"),
    "job_too_large": ErrorKind(400, "The job is too large"),
    "images_too_large": ErrorKind(400, "The images are too large for one response"),
    "bad_header": ErrorKind(400, "A header is not usable"),
    "unauthorized": ErrorKind(401, "No valid API key"),
    "forbidden": ErrorKind(403, "Not allowed"),
    "not_found": ErrorKind(404, "Not found"),
    "method_not_allowed": ErrorKind(405, "Method not allowed"),
    "request_timeout": ErrorKind(408, "The request took too long to arrive", retryable=True),
    "idempotency_mismatch": ErrorKind(409, "The Idempotency-Key belongs to another request"),
    "job_running": ErrorKind(409, "The job has started"),
    "job_finished": ErrorKind(409, "The job has finished"),
    "cancelled": ErrorKind(409, "The job was cancelled"),
    "payload_too_large": ErrorKind(413, "The body is too large"),
    "unsupported_media_type": ErrorKind(415, "The body is not application/json"),
    "range_not_satisfiable": ErrorKind(416, "The file has no such part"),
    "content_filtered": ErrorKind(422, "The safety checker blocked the image"),
    "too_busy": ErrorKind(429, "Too many requests at once", retryable=True),
    "throttled": ErrorKind(429, "Too many requests", retryable=True),
    "quota_exceeded": ErrorKind(429, "The API key's quota is used up"),
    "internal": ErrorKind(500, "Internal error"),
    "config_error": ErrorKind(500, "The service is not configured correctly"),
    "record_damaged": ErrorKind(500, "A stored record is damaged"),
    "nan_output": ErrorKind(500, "The model produced invalid numbers"),
    "blank_output": ErrorKind(500, "The model produced a blank image"),
    "model_error": ErrorKind(502, "The model failed"),
    "model_bad_response": ErrorKind(502, "The model's response cannot be read"),
    "input_missing": ErrorKind(502, "The model could not read the request"),
    "upstream_error": ErrorKind(502, "The endpoint failed", retryable=True),
    "upstream_closed": ErrorKind(502, "The endpoint closed the connection"),
    "upstream_truncated": ErrorKind(502, "The endpoint's response was cut off"),
    "gpu_out_of_memory": ErrorKind(503, "Not enough GPU memory"),
    "model_busy": ErrorKind(503, "The model is busy", retryable=True),
    "model_loading": ErrorKind(503, "The model is loading", retryable=True),
    "container_died": ErrorKind(503, "The model process died while generating"),
    "endpoint_missing": ErrorKind(503, "The endpoint does not exist"),
    "model_replaced": ErrorKind(503, "The endpoint serves another model now", retryable=True),
    "over_budget": ErrorKind(503, "The service is stopped, because its budget is used up"),
    "upstream_unavailable": ErrorKind(503, "The endpoint is not available", retryable=True),
    "upstream_unreachable": ErrorKind(503, "The endpoint cannot be reached", retryable=True),
    "disk_full": ErrorKind(503, "No disk space to store the result"),
    "deadline_exceeded": ErrorKind(504, "Generation took longer than the deadline"),
    "model_timeout": ErrorKind(504, "The endpoint did not respond in time"),
    "job_expired": ErrorKind(504, "The job was not finished in time"),
    "use_jobs": ErrorKind(504, "The images take longer than one response may"),
}


class EaselError(Exception):
    """An error with a code of `ERRORS`. `message`: what was wrong; `hint`: what to do; `param`: the field, if any."""

    def __init__(self, code: str, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.param = code, message, hint, param
        self.kind = ERRORS[code]


def refuse(code: str, param: str | None, message: str, hint: str = "") -> NoReturn:
    """Raise an `EaselError`."""
    raise EaselError(code, message, hint=hint, param=param)


# --- strict JSON ---------------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            refuse("invalid_json", key[:80], f"the key {key[:80]!r} occurs twice", "Send each key once.")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    refuse("invalid_json", None, f"{name} is not JSON", "Send a finite number.")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        _no_constant(text[:40])
    return number


def loads(body: str | bytes) -> Any:
    """Parse JSON strictly: no duplicate keys, NaN, infinities or byte order mark, and no nesting too deep to parse.

    Raises EaselError `invalid_json`.
    """
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        if text.startswith("\ufeff"):
            message = "the body starts with a byte order mark (BOM)"
            refuse("invalid_json", None, message, "Send UTF-8 without a byte order mark.")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else "it cannot be parsed"
        raise EaselError("invalid_json", f"the body is not JSON: {reason}", hint="Send one JSON object.") from None


def dumps(value: Any) -> str:
    """Return compact JSON, non-ASCII text not escaped. Raises ValueError on NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _integer(value: Any, param: str, bound: Bound) -> int:
    if type(value) is not int:
        refuse("wrong_type", param, f"{param} must be an integer", f"Send {bound.minimum} to {bound.maximum}.")
    return int(_within(value, param, bound))


def _number(value: Any, param: str, bound: Bound | FloatBound) -> float:
    if type(value) not in (int, float):
        refuse("wrong_type", param, f"{param} must be a number", f"Send {bound.minimum} to {bound.maximum}.")
    return float(_within(value, param, bound))


def _within(value: float, param: str, bound: Bound | FloatBound) -> float:
    if not bound.minimum <= value <= bound.maximum:
        allowed = f"{bound.minimum} to {bound.maximum}"
        refuse("out_of_range", param, f"{param} is outside {allowed}", f"Send {allowed}.")
    return value


def _boolean(value: Any, param: str) -> bool:
    if type(value) is not bool:
        refuse("wrong_type", param, f"{param} must be a boolean", "Send true or false.")
    return value


def _text(value: Any, param: str, bound: Bound) -> str:
    if type(value) is not str:
        refuse("wrong_type", param, f"{param} must be a string", f"Send at most {bound.maximum} characters.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        refuse("bad_text", param, f"{param} contains a NUL or an unpaired surrogate", "Send valid Unicode text.")
    if bound.minimum and not value.strip():
        refuse("bad_text", param, f"{param} is empty", "Describe the image.")
    if len(value) > bound.maximum:
        refuse("out_of_range", param, f"{param} has {len(value)} characters", f"Send at most {bound.maximum}.")
    return value


def _one_of(value: Any, param: str, allowed: Sequence[str]) -> str:
    if type(value) is not str:
        refuse("wrong_type", param, f"{param} must be a string", f"Send one of: {', '.join(allowed)}.")
    if value not in allowed:
        refuse("unknown_value", param, f"unknown {param}", f"Send one of: {', '.join(allowed)}.")
    return value


# --- model profile -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings with a name, by which a model entry suggests them. A setting that is None is the model's default."""

    name: str
    name_zh: str = ""
    """Chinese name; empty: `name`."""
    size: tuple[int, int] | None = None
    """(width, height) in pixels; None: any."""
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    negative_prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProfileLora:
    """A LoRA that requests may use. Its settings replace the model's defaults in a request that has the LoRA."""

    id: str
    name: str = ""
    """Name that people read; empty: `id`."""
    name_zh: str = ""
    """Chinese name; empty: `name`."""
    scale: float = 1.0
    """The scale of a request that sets none."""
    words: tuple[str, ...] = ()
    """Trigger words: what a prompt should contain."""
    scheduler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None


@dataclass(frozen=True, kw_only=True)
class ProfileControl:
    """A ControlNet that requests may use."""

    id: str
    name: str = ""
    """Name that people read; empty: `id`."""
    name_zh: str = ""
    """Chinese name; empty: `name`."""
    scale: float = 1.0
    """The scale of a request that sets none."""
    preprocess: str | None = None
    """The item of `PREPROCESSORS` that makes its map of an ordinary image; None: maps are sent."""
    inputs: str | None = None
    """What its tensors do not say about its inputs; None: they say all."""


@dataclass(frozen=True, kw_only=True)
class ProfileEmbedding:
    """A textual-inversion embedding: a prompt that has its token uses it."""

    id: str
    token: str = ""
    """What prompts contain; empty: `id`."""
    name: str = ""
    """Name that people read; empty: `id`."""
    name_zh: str = ""
    """Chinese name; empty: `name`."""


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """The part of a catalogue entry that requests need: what the model supports and its defaults."""

    id: str
    name: str
    licence: str
    sizes: tuple[tuple[int, int], ...]
    """(width, height) in pixels, recommended for this model; the first is the default."""
    max_side: int
    steps: int
    guidance_scale: float
    scheduler: str
    schedulers: tuple[str, ...]
    licence_url: str = ""
    """Web address of the licence text; empty if unknown."""
    upscales: bool = False
    """The model generates at the first of `sizes`, and the container scales the image to the requested size."""
    image_to_image: bool = False
    """The model accepts an init_image."""
    max_pixel_steps: int = 1024 * 1024 * 50 * 8
    """The largest `pixel_steps` of one request."""
    max_steps: int = STEPS.maximum
    """The most steps of one image, with any scheduler."""
    suggestions: tuple[str, ...] = ()
    """Example prompts."""
    subjects: tuple[str, ...] = ()
    """All things that a small model can generate; empty: no such limit."""
    prompt_tokens: int | None = None
    """The most tokens of a prompt that the text encoder reads, if it is few."""
    clip_layers: int | None = None
    """Layers of the smallest text encoder, if all are CLIP's and the model takes weighted prompts and clip_skip."""
    presets: tuple[Preset, ...] = ()
    """Named settings for users to choose from."""
    loras: tuple[ProfileLora, ...] = ()
    """The LoRAs that requests may use."""
    controls: tuple[ProfileControl, ...] = ()
    """The ControlNets that requests may use."""
    most_controls: int = CONTROLS.maximum
    """ControlNets of one request."""
    control_cost_percent: int = CONTROL_COST_PERCENT
    """What each ControlNet adds to the work of a job."""
    control_without: tuple[str, ...] = ()
    """Items of `CONTROL_WITHOUT` that the model does not take together with control."""
    embeddings: tuple[ProfileEmbedding, ...] = ()
    """The embeddings that prompts may use."""
    edits: int = 0
    """The most images to look at of one request; 0: the model takes none."""
    takes_negative_prompt: bool = True
    """The model takes a negative prompt; if not, one is ignored with a warning."""
    takes_guidance_scale: bool = True
    """guidance_scale has an effect; if not, a value other than the default is ignored with a warning."""
    content: tuple[str, ...] = ()
    """Items of `CONTENT` that requests may choose; empty: the model has no safety checker."""

    def with_loras(self, ids: Iterable[str]) -> ModelProfile:
        """Return the profile with the defaults of a request with these LoRAs; the first that sets a value counts."""
        changed: dict[str, Any] = {}
        for lora in (lora for id in ids for lora in self.loras if lora.id == id):
            values = {"scheduler": lora.scheduler, "steps": lora.steps, "guidance_scale": lora.guidance_scale}
            changed = {name: value for name, value in values.items() if value is not None} | changed
        return replace(self, **changed) if changed else self


def steps_bound(profile: ModelProfile, scheduler: str) -> Bound:
    """Return the smallest and largest num_inference_steps of a request for `scheduler`."""
    limits = STEPS.maximum, profile.max_steps, SCHEDULER_STEPS.get(scheduler, STEPS.maximum)
    return Bound(STEPS.minimum, min(limits))


def parse_profile(text: str) -> ModelProfile:
    """Inverse of `render_profile`, for trusted input. Raises ValueError, KeyError or TypeError if it is malformed.

    Other keys are ignored: the container's profile also says how the model is loaded.
    """
    value = json.loads(text)
    value["sizes"] = tuple((width, height) for width, height in value["sizes"])
    value["schedulers"] = tuple(value["schedulers"])
    value["suggestions"] = tuple(value.get("suggestions", ()))
    value["subjects"] = tuple(value.get("subjects", ()))
    value["presets"] = tuple(_parse_preset(**preset) for preset in value.get("presets", ()))
    value["loras"] = tuple(_parse_lora(**lora) for lora in value.get("loras", ()))
    value["controls"] = tuple(ProfileControl(**control) for control in value.get("controls", ()))
    value["control_without"] = tuple(value.get("control_without", ()))
    value["embeddings"] = tuple(ProfileEmbedding(**embedding) for embedding in value.get("embeddings", ()))
    value["content"] = tuple(value.get("content", ()))
    return ModelProfile(**{field.name: value[field.name] for field in fields(ModelProfile) if field.name in value})


def _parse_preset(*, size: Sequence[int] | None = None, **values: Any) -> Preset:
    return Preset(size=(size[0], size[1]) if size else None, **values)


def _parse_lora(*, words: Sequence[str] = (), **values: Any) -> ProfileLora:
    return ProfileLora(words=tuple(words), **values)


def render_profile(profile: ModelProfile) -> str:
    """Return JSON without fields at their default.

    Without `suggestions`, `subjects` and `presets` it fits into a SageMaker variable: 1,024 characters.
    """
    value = _without_defaults(profile)
    for name in ("presets", "loras", "controls", "embeddings"):
        if items := getattr(profile, name):
            value[name] = [_without_defaults(item) for item in items]
    return dumps(value)


def _without_defaults(
    instance: ModelProfile | Preset | ProfileLora | ProfileControl | ProfileEmbedding,
) -> dict[str, Any]:
    value = asdict(instance)
    return {f.name: value[f.name] for f in fields(instance) if value[f.name] != f.default}


# --- request -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lora:
    """A LoRA of a request, by its id in the profile."""

    id: str
    scale: float


@dataclass(frozen=True, kw_only=True)
class Control:
    """A ControlNet of a request, by its id in the profile."""

    id: str
    image: str = field(repr=False)
    """Base64 of a PNG, WebP or JPEG file, or its hash after `without_image`."""
    scale: float
    start: float = CONTROL_RANGE.minimum
    end: float = CONTROL_RANGE.maximum
    """Parts of the steps between which it has an effect."""
    preprocess: str | None = None
    """What is made of the image: an item of `PREPROCESSORS`; None: it is a map already."""


@dataclass(frozen=True, kw_only=True)
class Hires:
    """A second pass, from the first pass's image at `scale` times its size: the last `strength` of `steps` run."""

    scale: float
    strength: float
    steps: int

    @property
    def steps_that_run(self) -> int:
        """Steps that run for each image."""
        return _last_steps(self.steps, self.strength)


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A validated request with every default filled in. Images are ordered by prompt (a, a, b, b); image i has
    `seeds()[i]`."""

    prompt: tuple[str, ...]
    negative_prompt: str = ""
    width: int
    height: int
    num_images_per_prompt: int = 1
    num_inference_steps: int
    guidance_scale: float
    seed: int
    scheduler: str
    output_format: str = "png"
    deadline_ms: int | None = None
    """Milliseconds until the job fails with `deadline_exceeded`; None: no deadline."""
    init_image: str | None = field(default=None, repr=False)
    """Image to start from: base64 of a PNG, WebP or JPEG file, or its hash after `without_image`."""
    strength: float | None = None
    """How much of the init_image is replaced, 0.01 to 1; None without an init_image."""
    mask_image: str | None = field(default=None, repr=False)
    """Which part of the init_image is generated anew: base64 of an image, or its hash after `without_image`."""
    mask_mode: str | None = None
    """Which pixels of the mask_image are generated anew: an item of `MASK_MODES`; None without a mask_image."""
    mask_blur: int | None = None
    """Pixels over which what is generated fades in, inside of the mask or of the margins; None without either."""
    outpaint: Mapping[str, int] | None = None
    """Pixels by which the init_image is extended at each of `OUTPAINT_SIDES`. The size is that of the whole result."""
    images: tuple[str, ...] | None = field(default=None, repr=False)
    """Images to look at, of which the prompt speaks: base64 of files, or their hashes after `without_image`."""
    embed_parameters: bool = False
    """Write the parameters into each image file (AUTOMATIC1111 infotext)."""
    loras: tuple[Lora, ...] | None = None
    """The LoRAs to use, each with its scale; None: none."""
    control: tuple[Control, ...] | None = None
    """The ControlNets to use, each with its image; None: none."""
    prompt_syntax: str = PROMPT_SYNTAXES[0]
    """How prompt and negative_prompt are read: an item of `PROMPT_SYNTAXES`."""
    clip_skip: int | None = None
    """Layer of the text encoder whose output is used, counted from the last, which is 1; None: as the model was
    trained."""
    hires: Hires | None = None
    """A second pass at a larger size; None: one pass."""
    model: str | None = None
    """Id of the model, if the request names it; None: the service's first."""
    content: str | None = None
    """What happens to images that the safety checker flags: an item of `CONTENT`; None: the first."""

    @property
    def has_mask(self) -> bool:
        """Whether only a part of the image is generated."""
        return self.mask_image is not None or self.outpaint is not None

    @property
    def image_count(self) -> int:
        """Number of images to generate."""
        return len(self.prompt) * self.num_images_per_prompt

    @property
    def steps(self) -> int:
        """Steps that run for each image: with an init_image, the last `strength` of num_inference_steps."""
        return (
            self.num_inference_steps if self.strength is None else _last_steps(self.num_inference_steps, self.strength)
        )

    @property
    def result_size(self) -> tuple[int, int]:
        """(width, height) of the images in pixels. Width and height of the request are those of the first pass."""
        if self.hires is None:
            return self.width, self.height
        return _scaled_side(self.width, self.hires.scale), _scaled_side(self.height, self.hires.scale)

    def pixel_steps(self, profile: ModelProfile) -> int:
        """Return the work of the request, both passes together."""
        controls = len(self.control or ()) * profile.control_cost_percent
        count, more = self.image_count, (len(self.loras or ()), controls)
        work = pixel_steps(self.width, self.height, self.steps, count, *more, len(self.images or ()))
        if self.hires is None:
            return work
        return work + pixel_steps(*self.result_size, self.hires.steps_that_run, count, *more)

    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each image: seed + i, modulo 2**32."""
        return tuple((self.seed + i) % (SEED.maximum + 1) for i in range(self.image_count))


def _last_steps(steps: int, strength: float) -> int:
    return max(1, math.floor(steps * strength + 0.5))


def _scaled_side(side: int, scale: float) -> int:
    return math.floor(side * scale / SIDE_MULTIPLE + 0.5) * SIDE_MULTIPLE


def pixel_steps(
    width: int, height: int, steps: int, count: int, loras: int = 0, control_percent: int = 0, edits: int = 0
) -> int:
    """Return the work of a job for `count` images; the time per pixel-step depends on model and machine.

    `control_percent`: what all ControlNets together add. `edits`: number of images to look at. The model reads them
    anew at each step.
    """
    percent = 100 + LORA_COST_PERCENT * loras + control_percent
    return (width * height + EDIT_PIXELS * edits) * steps * count * percent // 100


REQUEST_FIELDS = tuple(f.name for f in fields(GenerationRequest))


def random_seed() -> int:
    """Return a random seed within `SEED`."""
    return secrets.randbelow(SEED.maximum + 1)


def parse_request(
    body: str | bytes, profile: ModelProfile, new_seed: Callable[[], int] = random_seed
) -> GenerationRequest:
    """Parse and validate a request body. Raises EaselError with a 4xx code."""
    return validate_request(parse_body(body), profile, new_seed)


def parse_body(body: str | bytes) -> dict[str, Any]:
    """Parse a request body. Raises `payload_too_large`, `invalid_json`, `expected_object`."""
    if len(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body) > BODY_BYTES.maximum:
        refuse("payload_too_large", None, "the request body is too large", f"Send at most {BODY_BYTES.maximum} bytes.")
    value = loads(body)
    if not isinstance(value, dict):
        refuse("expected_object", None, "the body must be a JSON object", 'For example {"prompt": "a red apple"}.')
    return value


def chosen_profile(sent: Mapping[str, Any], profiles: Sequence[ModelProfile]) -> ModelProfile:
    """Return the profile of the model that a request names, or by default the first. Raises `unknown_value`."""
    ids = [profile.id for profile in profiles]
    model = sent.get("model")
    return profiles[0 if model is None else ids.index(_one_of(model, "model", ids))]


def parameters_of(request: GenerationRequest) -> dict[str, Any]:
    """Return the fields of a request as its response has them: with every default, and the model if it was named."""
    value = asdict(request)
    return value if request.model else {name: item for name, item in value.items() if name != "model"}


def validate_request(
    sent: Mapping[str, Any], profile: ModelProfile, new_seed: Callable[[], int] = random_seed
) -> GenerationRequest:
    """Validate the fields of a request; fill in the model's defaults and, without a seed, `new_seed()`.

    Raises EaselError with a 4xx code.
    """
    _refuse_unknown(sent)
    value = {key: item for key, item in sent.items() if item is not None}
    loras = _loras(value.get("loras"), profile)
    profile = profile.with_loras(lora.id for lora in loras or ())
    inputs, (width, height) = _input_images(value, profile)
    scheduler = _one_of(value.get("scheduler", profile.scheduler), "scheduler", profile.schedulers)
    request = GenerationRequest(
        prompt=_prompts(value.get("prompt")),
        negative_prompt=_text(value.get("negative_prompt", ""), "negative_prompt", NEGATIVE_PROMPT_CHARS),
        width=_side(value.get("width", width), "width", profile),
        height=_side(value.get("height", height), "height", profile),
        num_images_per_prompt=_integer(value.get("num_images_per_prompt", 1), "num_images_per_prompt", IMAGES),
        num_inference_steps=_steps(value.get("num_inference_steps"), "num_inference_steps", scheduler, profile),
        guidance_scale=_number(value.get("guidance_scale", profile.guidance_scale), "guidance_scale", GUIDANCE),
        seed=_integer(value["seed"] if "seed" in value else new_seed(), "seed", SEED),
        scheduler=scheduler,
        output_format=_one_of(value.get("output_format", "png"), "output_format", tuple(OUTPUT_FORMATS)),
        deadline_ms=_integer(value["deadline_ms"], "deadline_ms", DEADLINE_MS) if "deadline_ms" in value else None,
        **inputs,
        embed_parameters=_boolean(value.get("embed_parameters", False), "embed_parameters"),
        loras=loras,
        control=_control(value.get("control"), profile),
        **_optional_features(value, profile),
        model=chosen_profile(value, (profile,)).id if "model" in value else None,
    )
    if "hires" in value:
        request = replace(request, hires=_hires(value["hires"], request, profile))
    _check_together(request, profile)
    return request


def _refuse_unknown(sent: Mapping[str, Any]) -> None:
    for key in sent:
        if key not in REQUEST_FIELDS:
            hint = f"Send only: {', '.join((*REQUEST_FIELDS, *WEBHOOK_FIELDS))}."
            refuse("unknown_field", key[:80], f"unknown field {key[:80]!r}", hint)


def _optional_features(value: Mapping[str, Any], profile: ModelProfile) -> dict[str, Any]:
    """Return the fields about what the model may lack, without images."""
    return {
        "prompt_syntax": _prompt_syntax(value.get("prompt_syntax", PROMPT_SYNTAXES[0]), profile),
        "clip_skip": _clip_skip(value["clip_skip"], profile) if "clip_skip" in value else None,
        "content": _content(value["content"], profile) if "content" in value else None,
    }


def _check_together(request: GenerationRequest, profile: ModelProfile) -> None:
    _check_files(request)
    if request.images and request.control:
        refuse("not_supported", "control", "control has no effect on images", "Leave out one of the two.")
    _check_control(request, profile)
    _check_weights(request)
    _check_margins(request)
    _check_size(request, profile)


def _prompts(value: Any) -> tuple[str, ...]:
    if value is None:
        refuse("missing_field", "prompt", "prompt is missing", "Describe the image.")
    if type(value) is str:
        return (_text(value, "prompt", PROMPT_CHARS),)
    if type(value) is not list:
        refuse("wrong_type", "prompt", "prompt must be a string or a list of strings", "Send one prompt or a list.")
    if not PROMPTS.minimum <= len(value) <= PROMPTS.maximum:
        refuse("out_of_range", "prompt", f"{len(value)} prompts", f"Send {PROMPTS.minimum} to {PROMPTS.maximum}.")
    return tuple(_text(item, "prompt", PROMPT_CHARS) for item in value)


def _loras(value: Any, profile: ModelProfile) -> tuple[Lora, ...] | None:
    example = '[{"id": "%s", "scale": 0.8}]'
    found = _listed(value, "loras", "LoRA", profile, profile.loras, LORAS, ("id", "scale"), example)
    return tuple(_lora(item, lora) for item, lora in found) or None


def _lora(value: Mapping[str, Any], lora: ProfileLora) -> Lora:
    scale = value.get("scale")
    return Lora(lora.id, lora.scale if scale is None else _number(scale, "loras", LORA_SCALE))


def _control(value: Any, profile: ModelProfile) -> tuple[Control, ...] | None:
    example = '[{"id": "%s", "image": "<base64>"}]'
    bound = Bound(CONTROLS.minimum, profile.most_controls)
    found = _listed(value, "control", "ControlNet", profile, profile.controls, bound, CONTROL_FIELDS, example)
    return tuple(_one_control(f"control[{i}]", *pair) for i, pair in enumerate(found)) or None


def _check_control(request: GenerationRequest, profile: ModelProfile) -> None:
    """Refuse what the model does not take together with control."""
    if not request.control:
        return
    partial = [(f"control[{i}]", item) for i, item in enumerate(request.control)]
    sent = {
        "init_image": "control" if request.init_image and not request.has_mask else "",
        "mask_image": "control" if request.has_mask else "",
        "strength": "strength" if request.strength not in (None, STRENGTH.maximum) else "",
        "hires": "hires" if request.hires else "",
        "range": next((f"{name}.start" for name, item in partial if item.start > CONTROL_RANGE.minimum), "")
        or next((f"{name}.end" for name, item in partial if item.end < CONTROL_RANGE.maximum), ""),
    }
    what = {"mask_image": "mask_image and no margins", "strength": "strength below 1", "range": "start and no end"}
    for name in CONTROL_WITHOUT:
        if name in profile.control_without and sent[name]:
            message = f"{profile.name} takes no {what.get(name, name)} together with control"
            refuse("not_supported", sent[name], message, "Leave out one of the two.")


def _one_control(param: str, value: Mapping[str, Any], control: ProfileControl) -> Control:
    """Return the ControlNet of an object of a request; `param` is its place there."""
    sent = {name: item for name, item in value.items() if item is not None}
    if "image" not in sent:
        refuse("missing_field", f"{param}.image", f"{param} has no image", "Send base64 of an image file.")
    start = _number(sent.get("start", CONTROL_RANGE.minimum), f"{param}.start", CONTROL_RANGE)
    end = _number(sent.get("end", CONTROL_RANGE.maximum), f"{param}.end", CONTROL_RANGE)
    if start >= end:
        refuse("out_of_range", f"{param}.end", f"{param} ends at {end:g} but starts at {start:g}", "End after start.")
    return Control(
        id=control.id,
        image=_image(sent["image"], f"{param}.image").text,
        scale=_number(sent.get("scale", control.scale), f"{param}.scale", CONTROL_SCALE),
        start=start,
        end=end,
        preprocess=_preprocess(sent.get("preprocess"), f"{param}.preprocess", control),
    )


def _preprocess(value: Any, param: str, control: ProfileControl) -> str | None:
    if value is None:
        return None
    chosen = _one_of(value, param, PREPROCESSORS)
    if chosen != control.preprocess:
        message = f"{chosen} does not make maps for the ControlNet {control.id!r}"
        refuse("not_supported", param, message, "Send a map, and leave out preprocess.")
    return chosen


_Offered = TypeVar("_Offered", ProfileLora, ProfileControl)


def _listed(
    value: Any,
    param: str,
    kind: str,
    profile: ModelProfile,
    offered: Sequence[_Offered],
    bound: Bound,
    keys: Sequence[str],
    example: str,
) -> list[tuple[Mapping[str, Any], _Offered]]:
    """Return each object of a list, with the item of the profile that it names by its id; nothing for no list."""
    if value is None or value == []:
        return []
    if not offered:
        refuse("not_supported", param, f"{profile.name} has no {kind}s", f"Leave out {param}.")
    hint = f"For example {example % offered[0].id}."
    if type(value) is not list:
        refuse("wrong_type", param, f"{param} must be a list of objects", hint)
    if len(value) > bound.maximum:
        refuse("out_of_range", param, f"{len(value)} {kind}s", f"Send at most {bound.maximum}.")
    found = [(item, _named(item, param, kind, profile, offered, keys, hint)) for item in value]
    ids = [item.id for _, item in found]
    if repeated := next((id for id in ids if ids.count(id) > 1), None):
        refuse("unknown_value", param, f"{param} has {repeated!r} twice", f"Send each {kind} once.")
    return found


def _named(
    value: Any,
    param: str,
    kind: str,
    profile: ModelProfile,
    offered: Sequence[_Offered],
    keys: Sequence[str],
    hint: str,
) -> _Offered:
    if type(value) is not dict:
        refuse("wrong_type", param, f"{param} must be a list of objects", hint)
    for key in value:
        if key not in keys:
            refuse("unknown_field", param, f"unknown field {key[:80]!r} in {param}", f"Send {', '.join(keys)}. {hint}")
    if type(value.get("id")) is not str:
        refuse("wrong_type", param, f"the id of a {kind} must be a string", hint)
    found = next((item for item in offered if item.id == value["id"]), None)
    if found is None:
        message = f"{profile.name} has no {kind} {value['id'][:80]!r}"
        refuse("unknown_value", param, message, f"Send one of: {', '.join(item.id for item in offered)}.")
    return found


def _steps(value: Any, param: str, scheduler: str, profile: ModelProfile) -> int:
    bound = steps_bound(profile, scheduler)
    if value is None:
        return min(profile.steps, bound.maximum)
    if type(value) is int and value > bound.maximum:
        message = f"{scheduler} of {profile.name} allows at most {bound.maximum} steps"
        refuse("out_of_range", param, message, f"Send {bound.minimum} to {bound.maximum}.")
    return _integer(value, param, bound)


@dataclass(frozen=True)
class _SentImage:
    """An image of a request, whose header is valid."""

    text: str
    """base64 of the file."""
    file: bytes
    size: tuple[int, int]
    """(width, height) in pixels, as its EXIF orientation says it is shown."""


def _input_images(value: Mapping[str, Any], profile: ModelProfile) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the fields of a request about the images that it has, and (width, height) by default."""
    init_image = _start_image(value["init_image"], "init_image", profile) if "init_image" in value else None
    mask_image = _mask_image(value["mask_image"], init_image, profile) if "mask_image" in value else None
    outpaint = _outpaint(value["outpaint"], init_image) if "outpaint" in value else None
    images = _edit_images(value["images"], init_image, profile) if value.get("images") not in (None, []) else None
    masked = mask_image is not None or outpaint is not None
    size = profile.sizes[0] if images is None else edit_size(images[0].size, profile)
    if init_image is not None and outpaint is not None:
        size = _extended_size(init_image, outpaint)
    fields = {
        "init_image": init_image and init_image.text,
        "strength": _strength(value.get("strength"), init_image, 1.0 if masked else DEFAULT_STRENGTH),
        "mask_image": mask_image and mask_image.text,
        "mask_mode": _mask_mode(value.get("mask_mode"), mask_image),
        "mask_blur": _mask_blur(value.get("mask_blur"), masked),
        "outpaint": outpaint,
        "images": images and tuple(image.text for image in images),
    }
    return fields, size


def _strength(value: Any, init_image: _SentImage | None, default: float) -> float | None:
    if init_image is None:
        if value is not None:
            refuse("missing_field", "init_image", "strength needs an init_image", "Send both or neither.")
        return None
    return default if value is None else _number(value, "strength", STRENGTH)


def _start_image(value: Any, param: str, profile: ModelProfile) -> _SentImage:
    """Return an init_image or mask_image."""
    if not profile.image_to_image:
        hint = "Send images in place of init_image and its fields." if profile.edits else ""
        hint = hint or "Leave out init_image and its fields."
        refuse("not_supported", param, f"{profile.name} takes no {param}", hint)
    return _image(value, param)


def _image(value: Any, param: str) -> _SentImage:
    """Return base64 of an image file whose header is valid, decoded."""
    hint = f"Send base64 of a {', '.join(OUTPUT_FORMATS)} file."
    if type(value) is not str:
        refuse("wrong_type", param, f"{param} must be a string", hint)
    if value.startswith("data:"):
        refuse("bad_image", param, f"{param} is a data URL", "Send only the part after the comma.")
    file = _from_base64(value, param)
    if len(file) > INIT_IMAGE_BYTES:
        refuse("out_of_range", param, f"the file in {param} is too large", f"Send at most {INIT_IMAGE_BYTES} bytes.")
    size = image_size(file)
    if size is None:
        refuse("bad_image", param, f"{param} {_other_format(file)}", hint)
    width, height = size
    if width * height > INIT_IMAGE_PIXELS:
        message = f"{param} has {width}x{height} pixels"
        refuse("out_of_range", param, message, f"Scale it down: width x height is at most {INIT_IMAGE_PIXELS}.")
    return _SentImage(value, file, upright_size(file))


def _edit_images(value: Any, init_image: _SentImage | None, profile: ModelProfile) -> list[_SentImage]:
    """Return the images to look at."""
    if not profile.edits:
        hint = "Send init_image to start from an image." if profile.image_to_image else "Leave out images."
        refuse("not_supported", "images", f"{profile.name} takes no images to edit", hint)
    if type(value) is not list:
        refuse("wrong_type", "images", "images must be a list", "Send a list of base64 of image files.")
    if init_image is not None:
        message = "images and init_image cannot be combined"
        refuse("not_supported", "images", message, "Send the image to change as the first of images.")
    if len(value) > profile.edits:
        refuse("out_of_range", "images", f"{len(value)} images", f"{profile.name} takes at most {profile.edits}.")
    return [_edit_image(item, f"images[{index}]") for index, item in enumerate(value)]


def _edit_image(value: Any, param: str) -> _SentImage:
    image = _image(value, param)
    short, long = sorted(image.size)
    if short < SIDE.minimum or long > EDIT_PROPORTION * short:
        message = f"{param} has {image.size[0]}x{image.size[1]} pixels"
        hint = f"Send sides of at least {SIDE.minimum} pixels, one at most {EDIT_PROPORTION} times the other."
        refuse("out_of_range", param, message, hint)
    return image


def edit_size(image: tuple[int, int], profile: ModelProfile) -> tuple[int, int]:
    """Return (width, height) of what is generated from an image to look at.

    It is scaled down, if need be, to the pixels of the model's first size and to its largest side. Each side is rounded
    down to a multiple of `EDIT_MULTIPLE`. So do the pipelines of diffusers with the first image.
    """
    largest = min(SIDE.maximum, profile.max_side)
    scale = min(1, math.sqrt(math.prod(profile.sizes[0]) / math.prod(image)), largest / max(image))
    width, height = (max(SIDE.minimum, int(side * scale) // EDIT_MULTIPLE * EDIT_MULTIPLE) for side in image)
    return width, height


def _other_format(file: bytes) -> str:
    """Return what is wrong with a file that is in none of the formats that are read."""
    name = _OTHER_FORMATS.get(file[4:12]) or _OTHER_FORMATS.get(file[:4])
    return f"is a file of the format {name}, which is not read" if name else "has an unknown image format"


def _from_base64(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        refuse("bad_image", param, f"{param} is not base64", "Pad it with = and use no line breaks.")


def _mask_image(value: Any, init_image: _SentImage | None, profile: ModelProfile) -> _SentImage:
    mask = _start_image(value, "mask_image", profile)
    if init_image is None:
        refuse("missing_field", "init_image", "mask_image needs an init_image", "Send both or neither.")
    return mask


def _check_files(request: GenerationRequest) -> None:
    """Refuse files that are too large together. Each of them was checked alone."""
    images = sent_images(request)
    if sum(_file_bytes(image) for found in images.values() for image in found) > INIT_IMAGE_BYTES:
        message = f"the files in {' and '.join(images)} are too large"
        hint = f"Send at most {INIT_IMAGE_BYTES} bytes together: scale them down, or save them as JPEG."
        refuse("out_of_range", [*images][-1], message, hint)


def _file_bytes(text: str) -> int:
    """Return the size of a file in base64, which is not decoded again for that."""
    return 3 * len(text) // 4 - text[-2:].count("=")


def _mask_mode(value: Any, mask_image: _SentImage | None) -> str | None:
    if mask_image is None:
        if value is not None:
            refuse("missing_field", "mask_image", "mask_mode needs a mask_image", "Send both or neither.")
        return None
    return MASK_MODES[0] if value is None else _one_of(value, "mask_mode", MASK_MODES)


def _mask_blur(value: Any, masked: bool) -> int | None:
    if not masked:
        if value is not None:
            refuse("missing_field", "mask_image", "mask_blur needs a mask_image or outpaint", "Leave out mask_blur.")
        return None
    return DEFAULT_MASK_BLUR if value is None else _integer(value, "mask_blur", MASK_BLUR)


def _outpaint(value: Any, init_image: _SentImage | None) -> dict[str, int]:
    hint = 'For example {"left": 64, "right": 64}.'
    if type(value) is not dict:
        refuse("wrong_type", "outpaint", "outpaint must be an object", hint)
    if init_image is None:
        refuse("missing_field", "init_image", "outpaint needs an init_image", "Send both or neither.")
    for side in value:
        if side not in OUTPAINT_SIDES:
            message = f"unknown side {side[:80]!r} in outpaint"
            refuse("unknown_field", "outpaint", message, f"Send only: {', '.join(OUTPAINT_SIDES)}.")
    margins = {side: _integer(value.get(side) or 0, "outpaint", OUTPAINT) for side in OUTPAINT_SIDES}
    if not any(margins.values()):
        refuse("out_of_range", "outpaint", "outpaint extends no side", hint)
    return margins


def _extended_size(init_image: _SentImage, outpaint: Mapping[str, int]) -> tuple[int, int]:
    """Return the size of the init_image with its margins, up to the next multiple of 8."""
    width, height = init_image.size
    wanted = width + outpaint["left"] + outpaint["right"], height + outpaint["top"] + outpaint["bottom"]
    return wanted[0] + -wanted[0] % SIDE_MULTIPLE, wanted[1] + -wanted[1] % SIDE_MULTIPLE


def _check_margins(request: GenerationRequest) -> None:
    """Refuse margins that leave less than the smallest side for the init_image."""
    margins = request.outpaint or {}
    for param, side, ends in (
        ("width", request.width, ("left", "right")),
        ("height", request.height, ("top", "bottom")),
    ):
        rest = side - sum(margins.get(end, 0) for end in ends)
        if rest < SIDE.minimum:
            message = f"outpaint leaves {rest} pixels of the {param} for the init_image"
            refuse(
                "out_of_range", "outpaint", message, f"Leave at least {SIDE.minimum}: {param} is the whole result's."
            )


def image_size(file: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the header of a PNG, WebP or JPEG file, or None for other files."""
    if file.startswith(b"\x89PNG\r\n\x1a\n") and file[12:16] == b"IHDR":
        size = _big_endian(file[16:20]), _big_endian(file[20:24])
    elif file.startswith(b"RIFF") and file[8:12] == b"WEBP":
        size = _webp_size(file)
    else:
        size = next(_jpeg_sizes(file), (0, 0)) if file.startswith(b"\xff\xd8\xff") else (0, 0)
    return size if all(size) else None


def upright_size(file: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels of a file that `image_size` reads, as its EXIF orientation says it is shown."""
    width, height = image_size(file) or (0, 0)
    return (height, width) if _is_turned(_exif(file)) else (width, height)


def _exif(file: bytes) -> bytes:
    """Return the EXIF block of a PNG, WebP or JPEG file without its name; empty if it has none."""
    if file.startswith(b"\xff\xd8"):
        found = next((content for _, content in _jpeg_segments(file) if content.startswith(b"Exif\0\0")), b"")
    else:
        found = next((content for name, content in _chunks(file) if name in (b"eXIf", b"EXIF")), b"")
    return found.removeprefix(b"Exif\0\0")


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, content) of the chunks of a WebP or PNG file."""
    is_webp = file.startswith(b"RIFF")
    offset = 12 if is_webp else 8
    while offset + 8 <= len(file):
        first, second = file[offset : offset + 4], file[offset + 4 : offset + 8]
        name, length = (first, int.from_bytes(second, "little")) if is_webp else (second, _big_endian(first))
        yield name, file[offset + 8 : offset + 8 + length]
        offset += 8 + length + (length % 2 if is_webp else 4)


def _is_turned(exif: bytes) -> bool:
    """Return whether the orientation swaps width and height. Source: TIFF 6.0, "Image File Header"."""
    order: Literal["little", "big"] = "little" if exif.startswith(b"II*\0") else "big"
    start = int.from_bytes(exif[4:8], order)
    for position in range(start + 2, start + 2 + 12 * int.from_bytes(exif[start : start + 2], order), 12):
        if int.from_bytes(exif[position : position + 2], order) == _ORIENTATION:
            size = _TIFF_INTEGERS.get(int.from_bytes(exif[position + 2 : position + 4], order), 0)
            return int.from_bytes(exif[position + 8 : position + 8 + size], order) in _TURNED
    return False


def _big_endian(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _webp_size(file: bytes) -> tuple[int, int]:
    """Source: developers.google.com/speed/webp/docs/riff_container, "Simple" and "Extended File Format"."""
    kind, header = file[12:16], file[20:30]
    if len(header) < 10:
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(header[4:7], "little"), 1 + int.from_bytes(header[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(header[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(header[6:8], "little") & 0x3FFF, int.from_bytes(header[8:10], "little") & 0x3FFF
    return 0, 0


def _jpeg_sizes(file: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes in the frame headers (SOF0 to SOF15, without DHT, JPG and DAC) before the first scan."""
    for marker, content in _jpeg_segments(file):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            yield _big_endian(content[3:5]), _big_endian(content[1:3])


def _jpeg_segments(file: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, content) of the segments before the first scan."""
    found = _JPEG_SEGMENT.match(file, 2)
    for _ in range(IMAGE_PARTS):
        if not found:
            return
        end = found.end(1) + _big_endian(found[2])
        yield found[1][0], file[found.end() : end]
        found = _JPEG_SEGMENT.match(file, end)


def _side(value: Any, param: str, profile: ModelProfile) -> int:
    side = _integer(value, param, Bound(SIDE.minimum, min(SIDE.maximum, profile.max_side)))
    if side % SIDE_MULTIPLE:
        nearest = side - side % SIDE_MULTIPLE
        refuse("not_multiple_of_8", param, f"{param} {side} is not a multiple of {SIDE_MULTIPLE}", f"Send {nearest}.")
    return side


def _prompt_syntax(value: Any, profile: ModelProfile) -> str:
    syntax = _one_of(value, "prompt_syntax", PROMPT_SYNTAXES)
    if syntax != PROMPT_SYNTAXES[0] and profile.clip_layers is None:
        message = f"{profile.name} reads prompts as plain text: weights need CLIP text encoders"
        refuse("not_supported", "prompt_syntax", message, "Leave out prompt_syntax.")
    return syntax


def _clip_skip(value: Any, profile: ModelProfile) -> int:
    if profile.clip_layers is None:
        message = f"{profile.name} has no clip_skip, which needs CLIP text encoders"
        refuse("not_supported", "clip_skip", message, "Leave out clip_skip.")
    return _integer(value, "clip_skip", clip_skip_bound(profile.clip_layers))


def _content(value: Any, profile: ModelProfile) -> str:
    content = _one_of(value, "content", CONTENT)
    if not profile.content:
        message = f"{profile.name} has no safety checker, and returns all images"
        refuse("not_supported", "content", message, "Leave out content.")
    if content not in profile.content:
        hint = "Send refuse, or leave out content. Who runs the service can allow flag, by the setting content=flag."
        refuse("not_supported", "content", "this service does not return images that the checker flags", hint)
    return content


def clip_skip_bound(clip_layers: int) -> Bound:
    """Return the smallest and largest clip_skip of a model with so many layers."""
    return Bound(CLIP_SKIP.minimum, min(CLIP_SKIP.maximum, clip_layers))


def _hires(value: Any, request: GenerationRequest, profile: ModelProfile) -> Hires:
    if not profile.image_to_image:
        refuse("not_supported", "hires", f"{profile.name} has no second pass", "Leave out hires.")
    if request.init_image is not None or request.images is not None:
        message = "hires has no effect on an init_image, nor on images"
        refuse("not_supported", "hires", message, "Leave out one of the two.")
    if type(value) is not dict:
        refuse("wrong_type", "hires", "hires must be an object", 'For example {"scale": 1.5}, or {}.')
    for name in value:
        if name not in HIRES_FIELDS:
            message = f"unknown key {name[:80]!r} in hires"
            refuse("unknown_field", "hires", message, f"Send only: {', '.join(HIRES_FIELDS)}.")
    sent = {name: item for name, item in value.items() if item is not None}
    return Hires(
        scale=_number(sent.get("scale", DEFAULT_HIRES_SCALE), "hires.scale", HIRES_SCALE),
        strength=_number(sent.get("strength", DEFAULT_HIRES_STRENGTH), "hires.strength", STRENGTH),
        steps=_steps(sent.get("steps", request.num_inference_steps), "hires.steps", request.scheduler, profile),
    )


def _check_size(request: GenerationRequest, profile: ModelProfile) -> None:
    if request.image_count > IMAGES.maximum:
        message = f"{len(request.prompt)} prompts x {request.num_images_per_prompt} are {request.image_count} images"
        refuse("out_of_range", "num_images_per_prompt", message, f"Request at most {IMAGES.maximum} images.")
    largest = min(SIDE.maximum, profile.max_side)
    if max(request.result_size) > largest:
        width, height = request.result_size
        message = f"hires.scale makes an image of {width}x{height}; a side has at most {largest} pixels"
        refuse("out_of_range", "hires.scale", message, "Send a smaller scale, width or height.")
    requested = request.pixel_steps(profile)
    if requested > profile.max_pixel_steps:
        message = f"width x height x steps x images is {requested}; the maximum is {profile.max_pixel_steps}"
        hint = "Request fewer images, fewer steps or a smaller size."
        if request.images:
            hint += f" Each of images adds {EDIT_PIXELS} to width x height."
        refuse("job_too_large", None, message, hint)


# --- weighted prompts ----------------------------------------------------------------------------


@dataclass(frozen=True)
class PromptPart:
    """A text without brackets, and how strongly it counts; 1 is usual."""

    text: str
    weight: float


@dataclass(frozen=True)
class WeightedPrompt:
    """The parts of a prompt in sections, which `BREAK` separates. `unbalanced`: a bracket is open at the end, where it
    is closed."""

    sections: tuple[tuple[PromptPart, ...], ...]
    unbalanced: bool

    @property
    def text(self) -> str:
        """The prompt without its syntax."""
        return " ".join("".join(part.text for part in section) for section in self.sections)


_OPEN = {"(": 1.1, "[": 1 / 1.1}
_CLOSED = {")": "(", "]": "["}
_PROMPT_TOKEN = re.compile(
    r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}))\s*\)|[^\\()\[\]:]+|[\\:]"
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


def parse_prompt(text: str) -> WeightedPrompt:
    """Parse AUTOMATIC1111's syntax: (a), [a], (a:1.3), BREAK, and brackets after a backslash, which are text.

    Round brackets multiply the weight by 1.1 or by their number, square ones divide it by 1.1.
    """
    parts: list[tuple[str | None, float]] = []  # None: BREAK
    opened: dict[str, list[int]] = {bracket: [] for bracket in _OPEN}

    def multiply(start: int, factor: float) -> None:
        parts[start:] = [(part, weight * factor) for part, weight in parts[start:]]

    for match in _PROMPT_TOKEN.finditer(text):
        token, weight = match[0], match[1]
        bracket = "(" if weight else _CLOSED.get(token, "")
        if token in opened:
            opened[token].append(len(parts))
        elif opened.get(bracket):
            multiply(opened[bracket].pop(), float(weight) if weight else _OPEN[bracket])
        elif token[0] == "\\" and len(token) == 2:
            parts.append((token[1], 1.0))
        else:
            first, *others = _BREAK.split(token)
            parts += [(first, 1.0), *(item for other in others for item in ((None, 1.0), (other, 1.0)))]
    for bracket, starts in opened.items():
        for start in starts:
            multiply(start, _OPEN[bracket])
    return WeightedPrompt(_sections(parts), any(opened.values()))


def prompt_texts(request: GenerationRequest) -> tuple[str, ...]:
    """Return the prompts without the syntax of weights."""
    if request.prompt_syntax == PROMPT_SYNTAXES[0]:
        return request.prompt
    return tuple(parse_prompt(prompt).text for prompt in request.prompt)


def _sections(parts: list[tuple[str | None, float]]) -> tuple[tuple[PromptPart, ...], ...]:
    """Return the parts between breaks, those of equal weight joined, without empty sections."""
    sections: list[tuple[PromptPart, ...]] = []
    for is_break, group in groupby([*parts, (None, 1.0)], lambda part: part[0] is None):
        if is_break:
            continue
        texts = [(text, weight) for text, weight in group if text]
        runs = [(weight, "".join(text for text, _ in run)) for weight, run in groupby(texts, lambda part: part[1])]
        sections.append(tuple(PromptPart(text, weight) for weight, text in runs))
    return tuple(section for section in sections if section)


def _check_weights(request: GenerationRequest) -> None:
    """Refuse weights outside of `PROMPT_WEIGHT`, and prompts without text beside their syntax."""
    if request.prompt_syntax == PROMPT_SYNTAXES[0]:
        return
    texts = [*(("prompt", prompt) for prompt in request.prompt), ("negative_prompt", request.negative_prompt)]
    for param, text in texts:
        prompt = parse_prompt(text)
        if param == "prompt" and not prompt.text.strip():
            refuse("bad_text", param, f"{param} is empty beside its brackets", "Describe the image.")
        for weight in (part.weight for section in prompt.sections for part in section):
            if not PROMPT_WEIGHT.minimum <= weight <= PROMPT_WEIGHT.maximum:
                allowed = f"{PROMPT_WEIGHT.minimum} to {PROMPT_WEIGHT.maximum}"
                hint = "Send smaller weights, fewer brackets, or a backslash before brackets that are text."
                refuse("out_of_range", param, f"{param} has a part of weight {weight:g}, outside {allowed}", hint)


def render_attributes(model: str) -> str:
    """Return the CustomAttributes of a call of the endpoint: the id of the model that its job belongs to."""
    return f"{_MODEL_ATTRIBUTE}{model}"


def check_attributes(attributes: str, model: str) -> None:
    """Raise `model_replaced` if a call with these CustomAttributes is for another model than `model`."""
    wanted = attributes.removeprefix(_MODEL_ATTRIBUTE)
    if attributes.startswith(_MODEL_ATTRIBUTE) and wanted != model:
        message = f"the job is for the model {wanted[:80]}, which was replaced; the endpoint serves {model} now"
        raise EaselError("model_replaced", message, hint="Send the request again.")


def render_request(request: GenerationRequest) -> str:
    """Return JSON with `prompt` as a list and without fields at their default. Inverse of `parse_request`."""
    value = asdict(request)
    return dumps({f.name: value[f.name] for f in fields(request) if value[f.name] != f.default})


IMAGE_FIELDS = ("init_image", "mask_image")
"""Fields that are a file in base64. `images` is a list of them, and the items of `control` contain one each."""


def sent_images(request: GenerationRequest) -> dict[str, tuple[str, ...]]:
    """Return the images of a request by the fields that have them."""
    fields = {name: getattr(request, name) for name in IMAGE_FIELDS}
    found: dict[str, tuple[str, ...]] = {name: (image,) for name, image in fields.items() if image is not None}
    more = {"images": request.images or (), "control": tuple(item.image for item in request.control or ())}
    return found | {name: images for name, images in more.items() if images}


def with_images(request: GenerationRequest, images: Mapping[str, Sequence[str]]) -> GenerationRequest:
    """Return the request with these images. Inverse of `sent_images`."""
    changed: dict[str, Any] = {name: images[name][0] for name in IMAGE_FIELDS if name in images}
    if request.images:
        changed["images"] = tuple(images["images"])
    if request.control:
        pairs = zip(request.control, images["control"], strict=True)
        changed["control"] = tuple(replace(item, image=image) for item, image in pairs)
    return replace(request, **changed) if changed else request


def without_image(request: GenerationRequest) -> GenerationRequest:
    """Return the request with `sha256:<hash of the file>` in place of each image, for records and responses."""
    return with_images(request, {name: [*map(_image_hash, images)] for name, images in sent_images(request).items()})


def _image_hash(image: str) -> str:
    return f"sha256:{sha256(base64.b64decode(image)).hexdigest()}"


# --- the container's response --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """Images (base64) and their seeds, in the same order. `timings` are in seconds."""

    generated_images: tuple[str, ...]
    seeds: tuple[int, ...]
    parameters: Mapping[str, Any]
    """The request with every default filled in."""
    timings: Mapping[str, float]
    warnings: tuple[str, ...] = field(default=())
    flagged: tuple[bool, ...] = field(default=())
    """Whether the safety checker flagged each image; empty: none."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What the images were generated with: `revision` and `licence` of the model, `lora_hashes` and
    `embedding_hashes` (name to hash). What is not known is missing."""


def render_result(result: GenerationResult) -> str:
    """Return the container's JSON response for a success. It has `flagged` and `origin` only if they say something."""
    value = {f.name: getattr(result, f.name) for f in fields(result)}
    return dumps({name: item for name, item in value.items() if item or name not in ("flagged", "origin")})


def render_error(error: EaselError) -> str:
    """Return the container's JSON response for an error.

    It has status 200 like a success: the serving toolkit turns every exception into status 400.
    """
    value = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
    return dumps({"error": value})


def parse_response(body: str | bytes) -> GenerationResult:
    """Parse the container's response. Raises the EaselError in it, or `model_bad_response`."""
    try:
        value = json.loads(body)
        if "error" not in value:
            return _result(value)
        error = value["error"]
        failure = EaselError(error["code"], error["message"], hint=error["hint"], param=error["param"])
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        message = f"the model's response cannot be read ({type(cause).__name__})"
        raise EaselError("model_bad_response", message, hint="Read the container's log.") from None
    raise failure


def _result(value: dict[str, Any]) -> GenerationResult:
    images, seeds = tuple(value["generated_images"]), tuple(value["seeds"])
    if not images or len(images) != len(seeds) or not all(isinstance(image, str) and image for image in images):
        raise ValueError("no images, or a different number of seeds")
    flagged = tuple(value.get("flagged", ()))
    if flagged and (len(flagged) != len(images) or not all(type(flag) is bool for flag in flagged)):
        raise ValueError("not one flag for each image")
    origin = dict(value.get("origin", {}))
    texts = [text for item in origin.values() for text in (item.values() if isinstance(item, dict) else [item])]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("origin has something that is no text")
    return GenerationResult(
        generated_images=images,
        seeds=seeds,
        parameters=dict(value["parameters"]),
        timings=dict(value["timings"]),
        warnings=tuple(value.get("warnings", ())),
        flagged=flagged,
        origin=origin,
    )
