"""The port through which the app generates images, its data, and its errors."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PROMPT, WIDTH, LENGTH = "inputContent", "width", "length"
"""The form's fields. `length` is the height."""
FIELDS = {"prompt": PROMPT, "width": WIDTH, "height": LENGTH}
"""The API's field names and the form's."""

STATUS: Mapping[str, int] = {
    "host_refused": 400,
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
"""HTTP status of the error codes that texts/ explains in both languages.

Codes of the form have status 400. Other codes of the API keep the API's status and message.
"""

MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class GenerationError(Exception):
    """A request that ends without an image.

    `detail` is the service's own message, `field` the form's field, `values` what the texts interpolate.
    """

    def __init__(
        self, code: str, detail: str = "", *, field: str = "", status: int | None = None, **values: object
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.field, self.values = code, detail, field, values
        self.status = status or STATUS.get(code, 400)


@dataclass(frozen=True)
class Limits:
    """Limits of a side in pixels and of a prompt in characters. The defaults are the API's widest."""

    minimum: int = 64
    maximum: int = 2048
    multiple: int = 8
    prompt_chars: int = 2000


@dataclass(frozen=True)
class ImageRequest:
    """A request for one image. Sides are in pixels."""

    prompt: str
    width: int
    height: int

    def payload(self) -> dict[str, Any]:
        """Return the article's JSON body."""
        return {
            "prompt": [self.prompt],
            "num_images_per_prompt": 1,
            "height": self.height,
            "width": self.width,
        }


@dataclass(frozen=True)
class GeneratedImage:
    data: bytes
    media_type: str
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


class Backend(Protocol):
    def limits(self) -> Limits: ...

    def generate(self, request: ImageRequest) -> GeneratedImage:
        """Wait for the image. Raises GenerationError."""


def read_image(response: Any) -> GeneratedImage:
    """Read the first image of a response of the container or the API: `generated_images`, `seeds`, `warnings`.

    Raises GenerationError: model_bad_response.
    """
    try:
        data = base64.b64decode(response["generated_images"][0], validate=True)
        return GeneratedImage(data, media_type(data), int(response["seeds"][0]), read_warnings(response))
    except (KeyError, IndexError, TypeError, ValueError):
        raise GenerationError("model_bad_response") from None


def read_warnings(response: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, response.get("warnings", ())))


def read_error(error: Any) -> GenerationError:
    """Convert the `error` of the container or of an API job: `code`, `message`, `hint`, `param`."""
    try:
        code, detail = error["code"], f"{error['message']} {error['hint']}".strip()
        field, status = FIELDS.get(error["param"], ""), STATUS.get(code, error.get("status", 502))
        if not (isinstance(code, str) and isinstance(status, int) and 400 <= status < 600):
            raise TypeError
    except (KeyError, TypeError, AttributeError):
        return GenerationError("model_bad_response")
    return GenerationError(code, detail, field=field, status=status)


def media_type(data: bytes) -> str:
    """Return the media type of an image file by its first bytes. Raises ValueError for other files."""
    for magic, name in MEDIA_TYPES.items():
        if data.startswith(magic):
            return name
    raise ValueError("The file is not a PNG, JPEG or WebP image")
