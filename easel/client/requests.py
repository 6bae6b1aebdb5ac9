"""The fields of a request, as keyword arguments."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from easel.client.contract import IMAGE_FIELDS, INIT_IMAGE_BYTES, image_size
from easel.client.errors import UsageError
from easel.client.results import Image

ImageSource = bytes | str | os.PathLike[str] | Image
"""An image to send: the bytes of a PNG, WebP or JPEG file, its path, or an image of an earlier generation."""


class RequestFields(TypedDict, total=False):
    """Optional fields of a request. What is left out has the model's default: `models()` has defaults and bounds."""

    model: str
    negative_prompt: str
    width: int
    height: int
    num_images_per_prompt: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    scheduler: str
    output_format: Literal["png", "webp", "jpeg"]
    init_image: ImageSource
    strength: float
    mask_image: ImageSource
    images: Sequence[ImageSource]
    mask_mode: Literal["white", "black", "transparent"]
    mask_blur: int
    outpaint: Mapping[str, int]
    embed_parameters: bool
    loras: Sequence[Mapping[str, str | float]]
    control: Sequence[Mapping[str, Any]]
    prompt_syntax: Literal["plain", "weighted"]
    clip_skip: int
    hires: Mapping[str, float]
    content: Literal["refuse", "flag"]
    deadline_ms: int
    webhook: str
    webhook_events: list[Literal["start", "completed"]]


def to_body(prompt: str | Sequence[str], fields: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the request. `extra`: fields of a newer API than this client. Raises UsageError, TypeError."""
    if unknown := [name for name in fields if name not in RequestFields.__annotations__]:
        raise TypeError(f"unknown field {unknown[0]!r}. Fields of a newer API: extra={{{unknown[0]!r}: …}}")
    body = {"prompt": prompt if isinstance(prompt, str) else list(prompt), **fields, **(extra or {})}
    files: dict[str, Any] = {name: encode(fields[name], name) for name in IMAGE_FIELDS if name in fields}
    if "images" in fields:
        files["images"] = _encode_all(fields["images"])
    if fields.get("control"):
        files["control"] = [_encode_control(item) for item in fields["control"]]
    return {**body, **files}


def _encode_control(item: Mapping[str, Any]) -> dict[str, Any]:
    return {**item, **({"image": encode(item["image"], "control image")} if "image" in item else {})}


def _encode_all(sources: Sequence[ImageSource]) -> list[str]:
    encoded = [encode(source, f"images[{index}]") for index, source in enumerate(sources)]
    if sum(len(base64.b64decode(image)) for image in encoded) > INIT_IMAGE_BYTES:
        detail = f"they have more than {INIT_IMAGE_BYTES} bytes together"
        hint = "Scale them down, or save them as JPEG."
        raise UsageError("The images are too large", detail=detail, hint=hint, where="images")
    return encoded


def encode(source: ImageSource, where: str) -> str:
    """Return the image as base64. Raises UsageError if it cannot be read, is no image or is too large to send."""
    if isinstance(source, Image):
        source = source.data
    if isinstance(source, bytes):
        data = source
    else:
        where = f"{where} {os.fspath(source)}"
        data = _read(Path(source), where)
    if len(data) > INIT_IMAGE_BYTES:
        detail, hint = f"it has more than {INIT_IMAGE_BYTES} bytes", "Scale it down, or save it as JPEG."
        raise UsageError("The image is too large", detail=detail, hint=hint, where=where)
    if image_size(data) is None:
        detail, hint = "it is not a PNG, WebP or JPEG file", "Use a PNG, WebP or JPEG file."
        raise UsageError("The file is no image", detail=detail, hint=hint, where=where)
    return base64.b64encode(data).decode("ascii")


def _read(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as opened:  # maybe a pipe or a device without an end
            return opened.read(INIT_IMAGE_BYTES + 1)
    except (OSError, ValueError) as error:
        why, hint = (isinstance(error, OSError) and error.strerror) or str(error), "Use a PNG, WebP or JPEG file."
        raise UsageError("The image cannot be read", detail=why, hint=hint, where=where) from None
