"""The wire: what a request and an answer look like, what is allowed, what it costs, what can go wrong.

Standard library only. `lambda/contract.py` is a byte-identical mirror of `model_code/contract.py`
(`make mirror` writes it, a test compares them), so that both folders ship as they stand in git.
Fields are only ever added, with a default that is left off the wire.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import Any, NoReturn


@dataclass(frozen=True)
class Bound:
    """Both ends are allowed."""

    minimum: int
    maximum: int


@dataclass(frozen=True)
class Span:
    """A bound of fractions: both ends are allowed."""

    minimum: float
    maximum: float


SIDE = Bound(64, 2048)
"""Width and height, pixels."""
SIDE_MULTIPLE = 8
"""The autoencoders of Stable Diffusion shrink a side by 8."""
STEPS = Bound(1, 150)
GUIDANCE = Bound(0, 30)
PROMPTS = Bound(1, 8)
IMAGES = Bound(1, 8)
"""Pictures of one request: prompts x num_images_per_prompt."""
PROMPT_CHARS = Bound(1, 2000)
NEGATIVE_PROMPT_CHARS = Bound(0, 2000)
SEED = Bound(0, 2**32 - 1)
DEADLINE_MS = Bound(1_000, 900_000)
"""Milliseconds from the moment that the container reads the request."""
STRENGTH = Span(0.01, 1)
DEFAULT_STRENGTH = 0.8
INIT_IMAGE_BYTES = 3 * 2**20
"""The file itself, before base64."""
INIT_IMAGE_PIXELS = 4096 * 4096
"""Width x height of the file: 50 MB once unpacked."""
BODY_BYTES = Bound(2, 65_536 + 4 * INIT_IMAGE_BYTES // 3)
"""The request as JSON: an init_image and 8 prompts of 2,000 characters of three UTF-8 bytes fit. Where a gateway hands
it on as base64 it stays below the 6 MB of a Lambda event, and as it is below those of SageMaker's InvokeEndpoint."""

OUTPUT_FORMATS: Mapping[str, str] = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
"""Name on the wire to media type; the first is the default. An init_image is one of these too."""

SCHEDULERS = (
    "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "lcm", "lms", "pndm", "unipc",
    "flow_euler", "flow_heun",
)  # fmt: skip
"""All names there are. A model takes those of its profile."""


# --- what can go wrong ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorKind:
    """HTTP status, title for people, and whether the same request may be sent again as it is."""

    status: int
    title: str
    retryable: bool = False


ERRORS: Mapping[str, ErrorKind] = {
    "invalid_json": ErrorKind(400, "The body is not JSON"),
    "expected_object": ErrorKind(400, "The body is not a JSON object"),
    "missing_field": ErrorKind(400, "A field is missing"),
    "unknown_field": ErrorKind(400, "A field is not known"),
    "wrong_type": ErrorKind(400, "A field has the wrong type"),
    "out_of_range": ErrorKind(400, "A field is out of range"),
    "off_grid": ErrorKind(400, "A side is not a multiple of 8"),
    "unknown_value": ErrorKind(400, "A field has a value that is not known"),
    "bad_text": ErrorKind(400, "A text cannot be used"),
    "bad_image": ErrorKind(400, "A picture cannot be used"),
    "not_supported": ErrorKind(400, "The model cannot do that"),
    "job_too_large": ErrorKind(400, "The job is too large"),
    "bad_header": ErrorKind(400, "A header cannot be used"),
    "unauthorized": ErrorKind(401, "No valid API key"),
    "forbidden": ErrorKind(403, "Not allowed"),
    "not_found": ErrorKind(404, "Not found"),
    "method_not_allowed": ErrorKind(405, "Method not allowed"),
    "idempotency_mismatch": ErrorKind(409, "The Idempotency-Key was used for another request"),
    "job_running": ErrorKind(409, "The job has started"),
    "job_finished": ErrorKind(409, "The job has finished"),
    "cancelled": ErrorKind(409, "The job was cancelled"),
    "payload_too_large": ErrorKind(413, "The body is too large"),
    "unsupported_media_type": ErrorKind(415, "The body is not application/json"),
    "content_filtered": ErrorKind(422, "The picture was held back"),
    "too_busy": ErrorKind(429, "Too many requests at once", retryable=True),
    "throttled": ErrorKind(429, "Too many requests", retryable=True),
    "quota_exceeded": ErrorKind(429, "The key's quota is spent"),
    "internal": ErrorKind(500, "Something went wrong in Easel"),
    "config_error": ErrorKind(500, "The service is not set up right"),
    "nan_output": ErrorKind(500, "The model computed no picture"),
    "blank_output": ErrorKind(500, "The model drew only black"),
    "model_error": ErrorKind(502, "The model failed"),
    "model_bad_response": ErrorKind(502, "The model's answer cannot be read"),
    "input_missing": ErrorKind(502, "The model could not read the request"),
    "upstream_error": ErrorKind(502, "The endpoint failed", retryable=True),
    "upstream_closed": ErrorKind(502, "The endpoint closed the connection"),
    "upstream_truncated": ErrorKind(502, "The endpoint's answer was cut off"),
    "gpu_out_of_memory": ErrorKind(503, "Not enough GPU memory"),
    "model_busy": ErrorKind(503, "The model is busy", retryable=True),
    "model_loading": ErrorKind(503, "The model is loading", retryable=True),
    "container_died": ErrorKind(503, "The model stopped while drawing"),
    "endpoint_missing": ErrorKind(503, "The endpoint does not exist"),
    "upstream_unavailable": ErrorKind(503, "The endpoint is not available", retryable=True),
    "upstream_unreachable": ErrorKind(503, "The endpoint cannot be reached", retryable=True),
    "disk_full": ErrorKind(503, "No room to store the result"),
    "deadline_exceeded": ErrorKind(504, "The picture took longer than allowed"),
    "model_timeout": ErrorKind(504, "The endpoint did not answer in time"),
    "job_expired": ErrorKind(504, "The job was not finished in time"),
}


class EaselError(Exception):
    """A failure with a code of `ERRORS`: what was wrong, what to do, and the field it is about."""

    def __init__(self, code: str, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.param = code, message, hint, param
        self.kind = ERRORS[code]


def refuse(code: str, param: str | None, message: str, hint: str = "") -> NoReturn:
    raise EaselError(code, message, hint=hint, param=param)


# --- JSON, strictly ------------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            refuse("invalid_json", key[:80], f"the key {key[:80]!r} stands twice", "Send each key once.")
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
    """JSON without duplicate keys, NaN, infinities, byte-order mark or bottomless nesting.

    Raises EaselError `invalid_json`.
    """
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else "it cannot be parsed"
        raise EaselError("invalid_json", f"the body is not JSON: {reason}", hint="Send one JSON object.") from None


def dumps(value: Any) -> str:
    """Compact JSON that every parser reads: no NaN, non-ASCII text as it is."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _object(value: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse("expected_object", None, "the body must be a JSON object", 'For example {"prompt": "a red apple"}.')
    for key in value:
        if key not in known:
            refuse("unknown_field", key[:80], f"{key[:80]!r} is not a known field", f"Known: {', '.join(known)}.")
    return value


def _integer(value: Any, param: str, bound: Bound) -> int:
    if type(value) is not int:
        refuse("wrong_type", param, f"{param} must be an integer", f"Send {bound.minimum} to {bound.maximum}.")
    return int(_within(value, param, bound))


def _number(value: Any, param: str, bound: Bound | Span) -> float:
    if type(value) not in (int, float):
        refuse("wrong_type", param, f"{param} must be a number", f"Send {bound.minimum} to {bound.maximum}.")
    return float(_within(value, param, bound))


def _within(value: float, param: str, bound: Bound | Span) -> float:
    if not bound.minimum <= value <= bound.maximum:
        allowed = f"{bound.minimum} to {bound.maximum}"
        refuse("out_of_range", param, f"{param} is outside {allowed}", f"Send {allowed}.")
    return value


def _boolean(value: Any, param: str) -> bool:
    if type(value) is not bool:
        refuse("wrong_type", param, f"{param} must be true or false")
    return value


def _text(value: Any, param: str, bound: Bound) -> str:
    if type(value) is not str:
        refuse("wrong_type", param, f"{param} must be a text")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        refuse("bad_text", param, f"{param} holds a NUL or half a surrogate pair", "Send valid Unicode text.")
    if bound.minimum and not value.strip():
        refuse("bad_text", param, f"{param} is empty", "Say what to draw.")
    if len(value) > bound.maximum:
        refuse("out_of_range", param, f"{param} has {len(value)} characters", f"Send at most {bound.maximum}.")
    return value


def _one_of(value: Any, param: str, allowed: Sequence[str]) -> str:
    if type(value) is not str:
        refuse("wrong_type", param, f"{param} must be a text", f"Send one of: {', '.join(allowed)}.")
    if value not in allowed:
        refuse("unknown_value", param, f"{param} is not one of this model's", f"Send one of: {', '.join(allowed)}.")
    return value


# --- the model, as far as a request needs it -----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one model draws well and what it takes: a catalogue entry without where it comes from."""

    id: str
    name: str
    licence: str
    sizes: tuple[tuple[int, int], ...]
    """(width, height) in pixels that it draws well; the first is the default."""
    max_side: int
    steps: int
    guidance_scale: float
    scheduler: str
    schedulers: tuple[str, ...]
    licence_url: str = ""
    """Where the licence can be read; left off where nobody told."""
    enlarges: bool = False
    """True: draws at the first of `sizes` and the container enlarges to the size asked for."""
    image_to_image: bool = False
    """True: takes an init_image."""
    budget: int = 1024 * 1024 * 50 * 8
    """The most `cost` one request may have."""
    suggestions: tuple[str, ...] = ()
    """Prompts to start from."""
    draws: tuple[str, ...] = ()
    """The names of all that it can draw; empty: whatever is asked."""


def parse_profile(text: str) -> ModelProfile:
    """The inverse of `render_profile`. Trusted input: KeyError or TypeError on a wrong one."""
    value = json.loads(text)
    value["sizes"] = tuple((width, height) for width, height in value["sizes"])
    value["schedulers"] = tuple(value["schedulers"])
    value["suggestions"] = tuple(value.get("suggestions", ()))
    value["draws"] = tuple(value.get("draws", ()))
    return ModelProfile(**value)


def render_profile(profile: ModelProfile) -> str:
    """JSON, fields at their default left off. Without `suggestions` and `draws` under SageMaker's 1,024 characters."""
    value = asdict(profile)
    return dumps({f.name: value[f.name] for f in fields(profile) if value[f.name] != f.default})


# --- request -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One job with nothing left open. Pictures come prompt by prompt: a, a, b, b; picture i has `seeds()[i]`."""

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
    """Give up with `deadline_exceeded` after so many milliseconds; None: never."""
    init_image: str | None = field(default=None, repr=False)
    """The picture to start from: base64 of a PNG, WebP or JPEG file, or `without_picture`'s name for it."""
    strength: float | None = None
    """How much of the init_image is drawn anew; None where there is none."""
    embed_parameters: bool = False
    """True: each file tells how it was drawn (A1111 infotext)."""

    @property
    def images(self) -> int:
        return len(self.prompt) * self.num_images_per_prompt

    @property
    def steps(self) -> int:
        """Steps really run for one picture: from an init_image on, the last `strength` of them."""
        if self.strength is None:
            return self.num_inference_steps
        return max(1, math.floor(self.num_inference_steps * self.strength + 0.5))

    def seeds(self) -> tuple[int, ...]:
        """Picture i is drawn from seed + i, modulo 2**32."""
        return tuple((self.seed + i) % (SEED.maximum + 1) for i in range(self.images))


def cost(width: int, height: int, steps: int, images: int) -> int:
    """Pixel-steps: the work of a job, up to a factor that depends on model and machine."""
    return width * height * steps * images


REQUEST_FIELDS = tuple(f.name for f in fields(GenerationRequest))


def draw_seed() -> int:
    return secrets.randbelow(SEED.maximum + 1)


def parse_request(
    body: str | bytes, profile: ModelProfile, new_seed: Callable[[], int] = draw_seed
) -> GenerationRequest:
    """A checked request, with the model's defaults and a drawn seed where none is given.

    Raises EaselError with a 4xx code that names the field, what is allowed and what to do.
    """
    if len(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body) > BODY_BYTES.maximum:
        refuse("payload_too_large", None, "the body is too large", f"Send at most {BODY_BYTES.maximum} bytes.")
    sent = _object(loads(body), REQUEST_FIELDS)
    value = {key: item for key, item in sent.items() if item is not None}
    width, height = profile.sizes[0]
    init_image = _init_image(value["init_image"], profile) if "init_image" in value else None
    request = GenerationRequest(
        prompt=_prompts(value.get("prompt")),
        negative_prompt=_text(value.get("negative_prompt", ""), "negative_prompt", NEGATIVE_PROMPT_CHARS),
        width=_side(value.get("width", width), "width", profile),
        height=_side(value.get("height", height), "height", profile),
        num_images_per_prompt=_integer(value.get("num_images_per_prompt", 1), "num_images_per_prompt", IMAGES),
        num_inference_steps=_integer(value.get("num_inference_steps", profile.steps), "num_inference_steps", STEPS),
        guidance_scale=_number(value.get("guidance_scale", profile.guidance_scale), "guidance_scale", GUIDANCE),
        seed=_integer(value["seed"] if "seed" in value else new_seed(), "seed", SEED),
        scheduler=_one_of(value.get("scheduler", profile.scheduler), "scheduler", profile.schedulers),
        output_format=_one_of(value.get("output_format", "png"), "output_format", tuple(OUTPUT_FORMATS)),
        deadline_ms=_integer(value["deadline_ms"], "deadline_ms", DEADLINE_MS) if "deadline_ms" in value else None,
        init_image=init_image,
        strength=_strength(value.get("strength"), init_image),
        embed_parameters=_boolean(value.get("embed_parameters", False), "embed_parameters"),
    )
    _check_size(request, profile)
    return request


def _prompts(value: Any) -> tuple[str, ...]:
    if value is None:
        refuse("missing_field", "prompt", "prompt is missing", "Say what to draw.")
    if type(value) is str:
        return (_text(value, "prompt", PROMPT_CHARS),)
    if type(value) is not list:
        refuse("wrong_type", "prompt", "prompt must be a text or a list of texts")
    if not PROMPTS.minimum <= len(value) <= PROMPTS.maximum:
        refuse("out_of_range", "prompt", f"{len(value)} prompts", f"Send {PROMPTS.minimum} to {PROMPTS.maximum}.")
    return tuple(_text(item, "prompt", PROMPT_CHARS) for item in value)


def _strength(value: Any, init_image: str | None) -> float | None:
    if init_image is None:
        if value is not None:
            refuse("missing_field", "init_image", "strength comes without an init_image", "Send both or neither.")
        return None
    return DEFAULT_STRENGTH if value is None else _number(value, "strength", STRENGTH)


def _init_image(value: Any, profile: ModelProfile) -> str:
    param, wanted = "init_image", f"Send base64 of one of: {', '.join(OUTPUT_FORMATS)}."
    if not profile.image_to_image:
        refuse("not_supported", param, f"{profile.name} draws from text alone", "Leave init_image and strength out.")
    if type(value) is not str:
        refuse("wrong_type", param, "init_image must be a text", wanted)
    if value.startswith("data:"):
        refuse("bad_image", param, "init_image is a data URL", "Send only what follows its comma.")
    file = _from_base64(value)
    if len(file) > INIT_IMAGE_BYTES:
        refuse("out_of_range", param, "the file in init_image is too large", f"At most {INIT_IMAGE_BYTES} bytes.")
    width, height = picture_size(file) or refuse("bad_image", param, "init_image is no picture", wanted)
    if width * height > INIT_IMAGE_PIXELS:
        told = f"init_image has {width}x{height} pixels"
        refuse("out_of_range", param, told, f"Scale it down: width x height is at most {INIT_IMAGE_PIXELS}.")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        refuse("bad_image", "init_image", "init_image is not base64", "Send it in one piece, padded with =.")


def picture_size(file: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels, as the head of a PNG, WebP or JPEG file says; None where it is none."""
    if file.startswith(b"\x89PNG\r\n\x1a\n") and file[12:16] == b"IHDR":
        size = _big(file[16:20]), _big(file[20:24])
    elif file.startswith(b"RIFF") and file[8:12] == b"WEBP":
        size = _webp_size(file)
    else:
        size = next(_jpeg_sizes(file), (0, 0)) if file.startswith(b"\xff\xd8\xff") else (0, 0)
    return size if all(size) else None


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _webp_size(file: bytes) -> tuple[int, int]:
    """developers.google.com/speed/webp/docs/riff_container, "Simple" and "Extended File Format"."""
    kind, head = file[12:16], file[20:30]
    if len(head) < 10:
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    return 0, 0


def _jpeg_sizes(file: bytes) -> Iterator[tuple[int, int]]:
    """From the frame headers (SOF0 to SOF15, without DHT, JPG and DAC) before the first scan."""
    at = 2
    while at + 9 <= len(file) and file[at] == 0xFF and file[at + 1] != 0xDA:
        marker = file[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            yield _big(file[at + 7 : at + 9]), _big(file[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + _big(file[at + 2 : at + 4])


def _side(value: Any, param: str, profile: ModelProfile) -> int:
    side = _integer(value, param, Bound(SIDE.minimum, min(SIDE.maximum, profile.max_side)))
    if side % SIDE_MULTIPLE:
        near = side - side % SIDE_MULTIPLE
        refuse("off_grid", param, f"{param} {side} is not a multiple of {SIDE_MULTIPLE}", f"Send {near}.")
    return side


def _check_size(request: GenerationRequest, profile: ModelProfile) -> None:
    if request.images > IMAGES.maximum:
        message = f"{len(request.prompt)} prompts x {request.num_images_per_prompt} are {request.images} pictures"
        refuse("out_of_range", "num_images_per_prompt", message, f"Ask for at most {IMAGES.maximum} in one request.")
    asked = cost(request.width, request.height, request.steps, request.images)
    if asked > profile.budget:
        message = f"width x height x steps x images is {asked}; the budget is {profile.budget}"
        refuse("job_too_large", None, message, "Ask for fewer images, fewer steps or a smaller size.")


def render_request(request: GenerationRequest) -> str:
    """JSON with `prompt` as a list, fields at their default left off. `parse_request` gives the request back."""
    value = asdict(request)
    return dumps({f.name: value[f.name] for f in fields(request) if value[f.name] != f.default})


def without_picture(request: GenerationRequest) -> GenerationRequest:
    """The request as it is shown and kept: `sha256:` and the hash of the file stand for the init_image."""
    if request.init_image is None:
        return request
    return replace(request, init_image=f"sha256:{sha256(base64.b64decode(request.init_image)).hexdigest()}")


# --- answer --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """`generated_images` (base64) and `seeds` run in step; `timings` are seconds."""

    generated_images: tuple[str, ...]
    seeds: tuple[int, ...]
    parameters: Mapping[str, Any]
    """The request as it was drawn, every default filled in."""
    timings: Mapping[str, float]
    warnings: tuple[str, ...] = field(default=())


def render_result(result: GenerationResult) -> str:
    return dumps({f.name: getattr(result, f.name) for f in fields(result)})


def render_error(error: EaselError) -> str:
    """Errors cross the container as data: the serving toolkit turns every exception into status 400."""
    told = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
    return dumps({"error": told})


def parse_answer(body: str | bytes) -> GenerationResult:
    """What the container sent. Raises the EaselError that it sent, or `model_bad_response`."""
    try:
        value = json.loads(body)
        if "error" in value:
            told = value["error"]
            error = EaselError(told["code"], told["message"], hint=told["hint"], param=told["param"])
        else:
            return _result(value)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        reason = f"the model's answer cannot be read ({type(problem).__name__})"
        raise EaselError("model_bad_response", reason, hint="Look into the container's log.") from None
    raise error


def _result(value: dict[str, Any]) -> GenerationResult:
    images, seeds = tuple(value["generated_images"]), tuple(value["seeds"])
    if not images or len(images) != len(seeds) or not all(isinstance(image, str) and image for image in images):
        raise ValueError("no pictures, or not one seed a picture")
    return GenerationResult(
        generated_images=images,
        seeds=seeds,
        parameters=dict(value["parameters"]),
        timings=dict(value["timings"]),
        warnings=tuple(value.get("warnings", ())),
    )
