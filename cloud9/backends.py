"""What the app draws with: the port, what goes through it, and what can go wrong behind it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PROMPT, WIDTH, LENGTH = "inputContent", "width", "length"
"""The form's fields; length is the height."""
FIELDS = {"prompt": PROMPT, "width": WIDTH, "height": LENGTH}
"""The API's names to the form's."""

STATUS: Mapping[str, int] = {
    "cross_site": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "payload_too_large": 413,
    "content_filtered": 422,
    "quota_exceeded": 429,
    "throttled": 429,
    "internal": 500,
    "config_error": 502,
    "key_refused": 502,
    "wrong_address": 502,
    "wrong_mode": 502,
    "model_error": 502,
    "model_bad_response": 502,
    "upstream_error": 502,
    "endpoint_missing": 503,
    "gpu_out_of_memory": 503,
    "model_loading": 503,
    "upstream_unreachable": 503,
    "model_timeout": 504,
}
"""Codes that are explained in both languages, and the status of our answer; texts/ has the words.
The form's own codes are 400, the API's other codes go out with the API's status and its own words."""

MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class DrawError(Exception):
    """A request that ends without a picture. `detail` is the service's own words, `field` the form's name for it."""

    def __init__(
        self, code: str, detail: str = "", *, field: str = "", status: int | None = None, **values: object
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.field, self.values = code, detail, field, values
        self.status = status or STATUS.get(code, 400)


@dataclass(frozen=True)
class Limits:
    """What a side may be in pixels, and a prompt in characters. The defaults are for who cannot ask."""

    minimum: int = 64
    maximum: int = 2048
    multiple: int = 8
    prompt_chars: int = 2000


@dataclass(frozen=True)
class Order:
    """One picture, sides in pixels."""

    prompt: str
    width: int
    height: int

    def payload(self) -> dict[str, Any]:
        """The article's request."""
        return {
            "prompt": [self.prompt],
            "num_images_per_prompt": 1,
            "height": self.height,
            "width": self.width,
        }


@dataclass(frozen=True)
class Picture:
    data: bytes
    media_type: str
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


class Backend(Protocol):
    def limits(self) -> Limits: ...

    def draw(self, order: Order) -> Picture:
        """Waits for the picture. Raises DrawError."""


def to_picture(answer: Any) -> Picture:
    """The container's answer, or the API's: `generated_images`, `seeds`, perhaps `warnings`."""
    try:
        data = base64.b64decode(answer["generated_images"][0], validate=True)
        return Picture(data, media_type(data), int(answer["seeds"][0]), warnings_of(answer))
    except (KeyError, IndexError, TypeError, ValueError):
        raise DrawError("model_bad_response") from None


def warnings_of(answer: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, answer.get("warnings", ())))


def to_error(told: Any) -> DrawError:
    """The error as data of the container, or of a job of the API: `code`, `message`, `hint`, `param`."""
    try:
        code, words = told["code"], f"{told['message']} {told['hint']}".strip()
        field, status = FIELDS.get(told["param"], ""), STATUS.get(code, told.get("status", 502))
    except (KeyError, TypeError, AttributeError):
        return DrawError("model_bad_response")
    return DrawError(code, words, field=field, status=status)


def media_type(data: bytes) -> str:
    """From the first bytes, so that nothing but a picture is ever called one. Raises ValueError."""
    for magic, name in MEDIA_TYPES.items():
        if data.startswith(magic):
            return name
    raise ValueError("not a picture")
