"""The interface of an API: its routes, and its form of errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from contract import EaselError, ModelProfile
from gateway.events import Response, without_surrogates
from gateway.router import Route
from routes.generations import Generations

_GPU_FAILURES = frozenset({
    "blank_output", "container_died", "disk_full", "gpu_out_of_memory", "input_missing", "model_bad_response",
    "model_error", "nan_output", "upstream_closed", "upstream_truncated",
})  # fmt: skip


@dataclass(frozen=True)
class Documentation:
    """A part of the OpenAPI document: operations by path, and schemas by name."""

    paths: dict[str, Any] = field(default_factory=dict)
    schemas: dict[str, Any] = field(default_factory=dict)


class Api(Protocol):
    """Routes that follow one convention, for example the native API."""

    paths: ClassVar[re.Pattern[str]]
    """Paths at which errors, also those of the gateway, have this API's form."""
    waiting: ClassVar[re.Pattern[str]]
    """Paths to which a POST may wait for a job."""

    def __init__(self, generations: Generations) -> None: ...

    def routes(self) -> list[Route]: ...

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        """Return the response to an error."""

    @staticmethod
    def documentation(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
        """Return the API's part of the OpenAPI document. Import what only this needs inside."""
        return Documentation()


def common_status(error: EaselError, invalid: int = 400) -> int:
    """Return the HTTP status that clients of other servers expect: 500 if the GPU or the model failed.

    `invalid`: status of a request with a field that cannot be used.
    """
    if error.code in _GPU_FAILURES:
        return 500
    return invalid if error.kind.status == 400 else error.kind.status


def explain(error: EaselError) -> str:
    """Return what was wrong and what to do, for APIs whose errors have one text."""
    message = error.message[:1].upper() + error.message[1:]
    return without_surrogates(f"{message.removesuffix('.')}. {error.hint}".strip())
