"""One request, from its body to the generated image files."""

import base64
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from container_log import log
from contract import (
    GenerationRequest,
    GenerationResult,
    check_attributes,
    parameters_of,
    parse_request,
    without_image,
)
from generation.generate import Model, generate
from images.files import Pixels, encode_image
from images.infotext import Origin, render_infotext


@dataclass(frozen=True)
class ReceivedRequest:
    """The body of a request, and the custom attributes of its call. The deadline counts from `received_at`
    (time.monotonic())."""

    body: str | bytes
    received_at: float
    attributes: str = ""


def respond(received: ReceivedRequest, model: Model) -> GenerationResult:
    """Parse, generate and encode. Raises EaselError: `model_replaced`, a 4xx code for the request, or those of
    `generate`."""
    check_attributes(received.attributes, model.profile.id)
    request = parse_request(received.body, model.profile)
    expires_at = None if request.deadline_ms is None else received.received_at + request.deadline_ms / 1000
    started = time.monotonic()
    generation = generate(model, request, expires_at)
    generated = time.monotonic()
    shown = without_image(request)
    files = [_encode(shown, index, image, model) for index, image in enumerate(generation.images)]
    images = tuple(base64.b64encode(file).decode("ascii") for file in files)
    ended = time.monotonic()
    seconds = {
        "generate_s": generated - started,
        "encode_s": ended - generated,
        "total_s": ended - received.received_at,
    }
    timings = {name: round(value, 4) for name, value in seconds.items()}
    log("generated", model=model.profile.id, **_log_fields(request), **timings)
    return GenerationResult(
        generated_images=images,
        seeds=request.seeds(),
        parameters=parameters_of(shown),
        timings=timings,
        warnings=generation.warnings,
        flagged=generation.flagged,
        origin=_known(_origin(shown, shown.prompt, model)),
    )


def _encode(request: GenerationRequest, index: int, image: Pixels, model: Model) -> bytes:
    prompt = request.prompt[index // request.num_images_per_prompt]
    text = render_infotext(request, index, _origin(request, [prompt], model)) if request.embed_parameters else ""
    return encode_image(image, request.output_format, text)


def _origin(request: GenerationRequest, prompts: Iterable[str], model: Model) -> Origin:
    """Return what goes into the files of prompts beside the request."""
    hashes = {lora.id: model.loras.short_hash(lora.id) for lora in request.loras or () if model.loras}
    used = model.embeddings.used([*prompts, request.negative_prompt or ""])
    embeddings = {found.token: found.short_hash for found in used}
    licence = "" if model.profile.licence == "unknown" else model.profile.licence
    return Origin(model.profile.id, model.revision, licence, hashes, embeddings)


def _known(origin: Origin) -> dict[str, Any]:
    """Return what is known of an origin, but for the model, which the job names."""
    return {name: value for name, value in asdict(origin).items() if value and name != "model"}


def _log_fields(request: GenerationRequest) -> dict[str, object]:
    return {
        "prompt_chars": [len(prompt) for prompt in request.prompt],
        "images": request.image_count,
        "size": f"{request.width}x{request.height}",
        "steps": request.steps,
        "init_image": request.init_image is not None,
        "mask": request.has_mask,
        "edits": len(request.images or ()),
        "scheduler": request.scheduler,
    }
