"""Fields of OpenAI's image requests, as a native request."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract import IMAGE_FIELDS, IMAGES, EaselError, GenerationRequest, ModelProfile, parse_body, refuse, upright_size
from contract import validate_request as validate
from gateway.bodies import json_body
from gateway.events import Request
from gateway.forms import Part, read_form
from routes.lenient import OWN_FIELDS, LenientFields, renamed

PARTIAL_IMAGES = 3
"""The most partial images of a stream."""

_STEPS = {"low": 0.6, "medium": 1.0, "high": 1.6, "hd": 1.6, "xhigh": 2.0, "max": 2.4}
"""Quality as a factor of the model's steps: 15, 25, 40, 40, 50 and 60 where that are 25."""
_DEFAULT_QUALITY = ("auto", "standard")
QUALITIES = (*_STEPS, *_DEFAULT_QUALITY)
_SIZE = re.compile(r"\s*([0-9]{1,5})\s*[xX×]\s*([0-9]{1,5})\s*", re.ASCII)
_USED = {
    "prompt", "model", "n", "size", "quality", "response_format", "output_format", "background", "stream",
    "partial_images", "negative_prompt", "seed", "steps", "guidance_scale", "scheduler", "strength",
    "output_compression", "loras", *OWN_FIELDS,
}  # fmt: skip
_WITHOUT_EFFECT = {"user", "safety_identifier", "moderation", "style", "complexity", "input_fidelity"}
"""Accepted without a warning: nothing about the image depends on them here."""
_REFUSED = {"frame_count", "frame_duration_ms", "svg", "mask"}
_NAMES = {
    "num_images_per_prompt": "n", "num_inference_steps": "steps", "init_image": "image", "mask_image": "mask",
    "images": "image",
}  # fmt: skip
"""Native names to those of this API, in messages."""
_MAX_WARNINGS = 20


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A parsed request. `sent`: its fields, to recognise a repeated one. `links`: respond with URLs in place of base64.
    `stream`: respond with server-sent events."""

    generation: GenerationRequest
    sent: Mapping[str, Any]
    links: bool
    stream: bool
    partial_images: int
    warnings: tuple[str, ...]

    @property
    def edits(self) -> bool:
        """Whether it has an image to change."""
        return self.generation.init_image is not None or self.generation.images is not None


def read(request: Request, profiles: Sequence[ModelProfile]) -> ImageRequest:
    """Parse a request to generate or, if it is a form, to edit. Raises EaselError with a 4xx code."""
    if request.path.endswith("/edits"):
        return _edit(read_form(request), profiles)
    return parse(parse_body(json_body(request)), profiles)


def _edit(parts: Sequence[Part], profiles: Sequence[ModelProfile]) -> ImageRequest:
    images = [part.content for part in parts if part.name in ("image", "image[]") or part.name.startswith("image[")]
    if not images:
        refuse("missing_field", "image", "image is missing", "Send a PNG, WebP or JPEG file in the field image.")
    masks = [part.content for part in parts if part.name == "mask"]
    files = {"mask", *(part.name for part in parts if part.is_file or part.content in images)}
    texts = {part.name: part.text() for part in parts if part.name not in files}
    return parse(texts, profiles, images, masks[-1] if masks else None)


def parse(
    sent: Mapping[str, Any], profiles: Sequence[ModelProfile], images: Sequence[bytes] = (), mask: bytes | None = None
) -> ImageRequest:
    """Return the request of these fields: of JSON, or the texts of a form. `images`: the files to edit, where `mask` is
    transparent or as a whole."""
    value = {name: item for name, item in sent.items() if item is not None and item != ""}
    profile = next((profile for profile in profiles if profile.id == value.get("model")), profiles[0])
    _refuse_unsupported(value, profile)
    lenient = LenientFields(profile, profiles[0])
    lenient.fields["prompt"] = _prompt(sent.get("prompt"))
    lenient.loras(value.get("loras"))
    _set_size(lenient, value.get("size"), images)
    _set_images(lenient, value, images, mask)
    _set_model(lenient, value, profile)
    _set_numbers(lenient, value)
    lenient.fields["output_format"] = _output_format(value.get("output_format"))
    lenient.own_fields(value)
    _warn(lenient, value)
    try:
        generation = validate(lenient.fields, profile)
    except EaselError as error:
        raise renamed(error, _NAMES) from None
    files = {name: lenient.fields[name] for name in (*IMAGE_FIELDS, "images") if name in lenient.fields}
    return ImageRequest(
        generation=generation,
        sent={**sent, **files},
        links=_links(value),
        stream=_flag(value.get("stream"), "stream"),
        partial_images=_whole(lenient, value.get("partial_images"), "partial_images", 0, PARTIAL_IMAGES) or 0,
        warnings=tuple(lenient.warnings[:_MAX_WARNINGS]),
    )


def _refuse_unsupported(value: Mapping[str, Any], profile: ModelProfile) -> None:
    for name in sorted(_REFUSED & value.keys()):
        if value[name] not in ([], {}, "[]"):
            message = f"{name} is not supported by this model ({profile.name})"
            refuse("not_supported", name, message, f"Leave {name} out.")
    if value.get("background") == "transparent":
        message = f"a transparent background is not supported by this model ({profile.name})"
        refuse("not_supported", "background", message, "Send opaque or auto, or leave background out.")


def _prompt(prompt: Any) -> str:
    if prompt is None:
        refuse("missing_field", "prompt", "prompt is missing", "Describe the image.")
    if not isinstance(prompt, str):
        refuse("wrong_type", "prompt", "prompt must be a string", "Send one prompt.")
    return prompt


def _set_images(lenient: LenientFields, value: Mapping[str, Any], images: Sequence[bytes], mask: bytes | None) -> None:
    """Set the images to change. Call it after `_set_size`."""
    if not images:
        if "strength" in value:
            lenient.ignore("strength", "it needs an image to edit")
        return
    if mask is not None and lenient.profile.edits:
        message = f"a mask is not supported by this model ({lenient.profile.name})"
        refuse("not_supported", "mask", message, "Leave mask out, and say in the prompt what changes.")
    encoded = [base64.b64encode(image).decode() for image in images]
    sized = value.get("size") not in (None, "auto")
    lenient.edit(encoded, ("image", "strength"), value.get("strength"), sized=sized)
    if mask is not None:
        lenient.fields |= {"mask_image": base64.b64encode(mask).decode(), "mask_mode": "transparent"}


def _set_size(lenient: LenientFields, size: Any, images: Sequence[bytes]) -> None:
    """Set the size: as sent, else that of the image to start from, else the model's."""
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match:
        lenient.size(int(match[1]), int(match[2]))
    elif size not in (None, "auto"):
        refuse("unknown_value", "size", "size must be auto, or like 512x512", "Send width x height in pixels.")
    else:
        found = upright_size(images[0]) if images and not lenient.profile.edits else (0, 0)
        lenient.size(*(found if all(found) else (None, None)))


def _set_model(lenient: LenientFields, value: Mapping[str, Any], profile: ModelProfile) -> None:
    model = value.get("model", profile.id)
    if model != profile.id:
        lenient.warnings.append(f"the model {str(model)[:80]!r} is not deployed; {profile.id} was used")
    scheduler = value.get("scheduler")
    if scheduler is not None:
        lenient.scheduler(str(scheduler), str(scheduler), "scheduler")


def _set_numbers(lenient: LenientFields, value: Mapping[str, Any]) -> None:
    quality = value.get("quality")
    factor = _STEPS.get(quality) if isinstance(quality, str) else None
    steps = None if factor is None else max(1, round(lenient.profile.steps * factor))
    lenient.steps(value.get("steps", steps), "steps" if "steps" in value else "the steps of this quality")
    if quality is not None and factor is None and quality not in _DEFAULT_QUALITY:
        lenient.ignore("quality", f"it is none of {', '.join(QUALITIES)}")
    lenient.guidance(value.get("guidance_scale"), "guidance_scale")
    lenient.seed(value.get("seed"), "seed")
    if (images := _whole(lenient, value.get("n"), "n", IMAGES.minimum, IMAGES.maximum)) is not None:
        lenient.fields["num_images_per_prompt"] = images
    if "negative_prompt" in value:
        lenient.fields["negative_prompt"] = value["negative_prompt"]


def _whole(lenient: LenientFields, value: Any, name: str, minimum: int, maximum: int) -> int | None:
    """Return a number within its bounds, or None if it is missing."""
    number = lenient.whole(value, name)
    if number is not None and not minimum <= number <= maximum:
        refuse("out_of_range", name, f"{name} is outside {minimum} to {maximum}", f"Send {minimum} to {maximum}.")
    return number


def _output_format(value: Any) -> Any:
    return "jpeg" if value == "jpg" else value


def _warn(lenient: LenientFields, value: Mapping[str, Any]) -> None:
    if "output_compression" in value and value.get("output_format") in ("webp", "jpeg", "jpg"):
        lenient.ignore("output_compression")
    for name in sorted(value.keys() - _USED - _WITHOUT_EFFECT - _REFUSED):
        lenient.ignore(name[:80], "this API has no such field")


def _links(value: Mapping[str, Any]) -> bool:
    """Return whether the client wants URLs. OpenAI's older models respond with URLs by default, and some clients that
    name such a model read nothing else."""
    wanted = value.get("response_format")
    if wanted not in (None, "url", "b64_json"):
        refuse("unknown_value", "response_format", "unknown response_format", "Send one of: b64_json, url.")
    return wanted == "url" or (wanted is None and str(value.get("model", "")).startswith("dall-e"))


def _flag(value: Any, name: str) -> bool:
    known = {True: True, False: False, None: False, "true": True, "false": False}
    if not isinstance(value, bool | str | None) or value not in known:
        refuse("wrong_type", name, f"{name} must be a boolean", "Send true or false.")
    return known[value]
