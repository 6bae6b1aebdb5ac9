"""One call from request to answer."""

import base64
import time
from dataclasses import asdict, dataclass

from container_log import log
from contract import GenerationRequest, GenerationResult, parse_request, without_picture
from generation import generate as drawing
from generation.generate import Model
from images import files as pictures
from images import infotext


@dataclass(frozen=True)
class Received:
    body: str | bytes
    at: float
    """time.monotonic() when it came: the deadline counts from here."""


def answer(received: Received, model: Model) -> GenerationResult:
    """Raises EaselError: a 4xx code for the request, or what `drawing.draw` raises."""
    request = parse_request(received.body, model.profile)
    expires = None if request.deadline_ms is None else received.at + request.deadline_ms / 1000
    started = time.monotonic()
    drawn = drawing.draw(model, request, expires)
    finished = time.monotonic()
    files = [_file(request, i, picture, model) for i, picture in enumerate(drawn.pictures)]
    images = tuple(base64.b64encode(file).decode("ascii") for file in files)
    ended = time.monotonic()
    spans = {"draw_s": finished - started, "encode_s": ended - finished, "total_s": ended - received.at}
    timings = {name: round(seconds, 4) for name, seconds in spans.items()}
    log("drawn", **_facts(request), **timings)
    return GenerationResult(
        generated_images=images,
        seeds=request.seeds(),
        parameters=asdict(without_picture(request)),
        timings=timings,
        warnings=drawn.warnings,
    )


def _file(request: GenerationRequest, i: int, picture: pictures.Pixels, model: Model) -> bytes:
    text = infotext.render(request, i, model.profile.id) if request.embed_parameters else ""
    return pictures.encode(picture, request.output_format, text)


def _facts(request: GenerationRequest) -> dict[str, object]:
    return {
        "prompt_chars": [len(prompt) for prompt in request.prompt],
        "images": request.images,
        "size": f"{request.width}x{request.height}",
        "steps": request.steps,
        "from_picture": request.init_image is not None,
        "scheduler": request.scheduler,
    }
